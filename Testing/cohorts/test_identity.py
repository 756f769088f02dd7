"""Opaque ids: the same person under one key, nobody under another."""

import hashlib
import hmac

import pytest

from MeWMLib.cohorts.identity import PUBLIC_KEY, Identity, default_key_file, load_key
from MeWMLib.core.errors import InputError


def test_an_id_is_a_keyed_hash_and_says_nothing():
    one, other = Identity(b"k" * 16), Identity(b"l" * 16)
    made = one.patient("Mustermann", "4711")
    assert made == "p" + hmac.new(b"k" * 16, b"Mustermann\x004711", hashlib.sha256).hexdigest()[:16]
    assert made == one.patient("Mustermann", "4711") != other.patient("Mustermann", "4711")
    assert one.patient("a", "bc") != one.patient("ab", "c")
    assert one.patient("bad\udcffname", "") != one.patient("bad", "")  # a file name that is no text


def test_public_ids_are_kept_if_they_are_plain_words():
    public = Identity(PUBLIC_KEY, public=True)
    assert public.patient("x", "HCC_009") == "HCC_009"
    for wrong in ("", "Muster Mann", "../x", ".x", "a" * 65, "Müller"):
        with pytest.raises(InputError, match="--layout folder"):
            public.patient("x", wrong)


def test_the_key_is_made_once_and_lies_outside_of_cohorts(tmp_path):
    key = load_key()
    assert load_key() == key and len(key) == 64 and default_key_file().read_bytes() == key
    assert default_key_file().name == "cohort.key"
    (tmp_path / "k").write_bytes(b"0123456789abcdef\n")
    assert load_key(tmp_path / "k") == b"0123456789abcdef"
    (tmp_path / "short").write_bytes(b"123")
    with pytest.raises(InputError, match="too short"):
        load_key(tmp_path / "short")
    with pytest.raises(InputError, match="key-file"):
        load_key(tmp_path / "missing")
