"""A cheap guess of the risk of protocols that were not simulated, with its uncertainty: a Gaussian process over sets.

The prior says that a risk is a constant plus an effect of each agent, an effect of each pair and a rest of its own:

    k(p, q) = c + v1 m + v2 m (m - 1) / 2 + v3 [p = q],    m = number of agents that p and q share

which is what Gaussian effects of variance v1 (agents), v2 (pairs) and v3 (rest) amount to (Rasmussen and Williams 2006,
sections 2.2 and 5.4). If something is known of the protocols before they are simulated, a linear effect of it is
added: v4 z(p) z(q) with its standardised numbers z. The ratios of the variances are those with the highest marginal
likelihood on a small grid; the overall scale follows in closed form.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.protocol import Protocol

FloatArray = NDArray[np.float64]

#: Variance of the pair effects and of the rest, relative to that of the agents' effects.
_PAIRS = (0.03, 0.1, 0.3, 1.0)
_REST = (0.003, 0.03, 0.3)
_CONSTANT = 100.0
#: Variance of the linear effect of what is known beforehand, relative to that of the agents' effects.
_KNOWN = (0.0, 1.0, 10.0, 100.0)
#: Risks with a smaller deviation count as equal; keeps the scale from vanishing.
_FLOOR = 1e-6


class Surrogate:
    """Guesses for a fixed list of protocols.

    Args:
        protocols: N different ones.
        hint: (N, F) what is known of them beforehand, or None.
    """

    def __init__(self, protocols: Sequence[Protocol], hint: FloatArray | None = None) -> None:
        self._index = {p: n for n, p in enumerate(protocols)}
        names = sorted({a for p in protocols for a in p.agents})
        place = {name: n for n, name in enumerate(names)}
        holds = np.zeros((len(protocols), len(names)))
        for row, protocol in zip(holds, protocols, strict=True):
            row[[place[a] for a in protocol.agents]] = 1
        shared = holds @ holds.T  # (N, N)
        self._agents, self._pairs = shared, shared * (shared - 1) / 2
        self._hint: FloatArray | None = None
        if hint is not None:
            spread = hint.std(0)
            z = (hint - hint.mean(0))[:, spread > 0] / spread[spread > 0]
            self._hint = z @ z.T  # (N, N)

    def guess(self, known: Mapping[Protocol, float], noise: Mapping[Protocol, float]) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation (N,) of the risk of each protocol, given those that are known.

        Args:
            known: at least two risks.
            noise: standard deviation of each known risk; 0 where it is left out.
        """
        rows = np.array([self._index[p] for p in known])
        values = np.array(list(known.values()))
        centre = float(values.mean())
        y = values - centre
        scale = max(float(y.std()), _FLOOR)
        y = y / scale
        jitter = np.diag([(noise.get(p, 0.0) / scale) ** 2 + 1e-9 for p in known])
        best = None
        for ratios in itertools.product(_PAIRS, _REST, (0.0,) if self._hint is None else _KNOWN):
            within = self._kernel(*ratios, rows) + jitter
            factor = np.linalg.cholesky(within)
            half = np.linalg.solve(factor, y)
            variance = max(float(half @ half) / len(y), _FLOOR)  # the scale of highest likelihood
            fit = -len(y) * np.log(variance) - 2 * float(np.log(np.diag(factor)).sum())
            if best is None or fit > best[0]:
                best = fit, ratios, factor, half, variance
        assert best is not None  # the grid is not empty
        _, ratios, factor, half, variance = best
        kernel = self._kernel(*ratios)
        reach = np.linalg.solve(factor, kernel[rows])  # (n, N)
        mean = reach.T @ half
        spread = np.clip(np.diag(kernel) - (reach**2).sum(0), 0.0, None) * variance
        return mean * scale + centre, np.sqrt(spread) * scale

    def _kernel(self, v2: float, v3: float, v4: float, rows: NDArray[np.intp] | None = None) -> FloatArray:
        """(N, N), or of some rows and the same columns."""
        part = slice(None) if rows is None else np.ix_(rows, rows)
        agents = self._agents[part]
        kernel = _CONSTANT + agents + v2 * self._pairs[part] + v3 * np.eye(len(agents))
        if self._hint is not None:
            kernel = kernel + v4 * self._hint[part]
        return np.asarray(kernel)
