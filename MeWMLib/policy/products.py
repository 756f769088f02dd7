"""Brands and materials that operation reports name: which are agents of MeWM, which are none, and what is no treatment.

`products.json` is the table. A product without an agent is never taken for another material.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from MeWMLib.core.records import from_plain, read_json
from MeWMLib.policy.agent_names import letters, pattern_of

#: Kinds of what `materials` finds.
PRODUCT, NOT_A_DOSE = "product", "not a dose"


@dataclass(frozen=True)
class Product:
    """A line of the table.

    Attributes:
        names: brands and other names.
        what: material, and why it is this agent or none.
        agent: canonical name of the agent that it is; None if it is none.
        sources: keys of `sources.json`.
        words: further names, which are ordinary words too.
        drug: it is a drug that is no agent.
    """

    names: tuple[str, ...]
    what: str
    agent: str | None = None
    sources: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    drug: bool = False


@cache
def _table() -> dict[str, Any]:
    path = Path(__file__).with_name("products.json")
    return dict(read_json(path, "The table of products", require={"products": list, "not_a_dose": list}))


@cache
def products() -> tuple[Product, ...]:
    """All products, in the order of the table."""
    return tuple(from_plain(Product, entry, "A product") for entry in _table()["products"])


@cache
def accompanying() -> tuple[Product, ...]:
    """What is given or measured in mg or ml in a procedure and treats no tumour: contrast medium, heparin, urine."""
    return tuple(from_plain(Product, entry, "A line of not_a_dose") for entry in _table()["not_a_dose"])


@cache
def ordinary_words() -> dict[str, str]:
    """Names of products that are words too, by their letters, to the canonical name of the agent."""
    return {letters(word): product.agent for product in products() if product.agent for word in product.words}


@cache
def drugs_not_read() -> frozenset[str]:
    """The `letters` of the names of drugs that are no agent: with one of them an embolisation is not bland."""
    return frozenset(letters(name) for product in products() if product.drug for name in product.names)


@cache
def materials() -> tuple[re.Pattern[str], dict[str, tuple[str, str]]]:
    """What finds names that are no agent, and by their letters: PRODUCT or NOT_A_DOSE, and what it is."""
    kinds = {letters(n): (NOT_A_DOSE, p.what) for p in accompanying() for n in p.names}
    kinds |= {letters(n): (PRODUCT, p.what) for p in products() if p.agent is None for n in p.names}
    names = [n for p in (*accompanying(), *products()) if p.agent is None for n in p.names]
    return pattern_of(names), kinds
