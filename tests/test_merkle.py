"""The office's log against published vectors, by properties, and under attack."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from evidence import merkle
from evidence.checkpoint import Checkpoint, Proof
from evidence.errors import EvidenceError
from evidence.merkle import Tree
from evidence.note import read_verifier_key, verifier_key, verify_note

# The eight leaves of the certificate-transparency reference implementation, and the roots of the first 1 to 8.
LEAVES = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = [bytes.fromhex(text) for text in (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)]  # fmt: skip
ORIGIN = "bodycam/AGENCY-1/OFFICE-1"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def _tree(leaves: list[bytes]) -> Tree:
    return Tree(map(merkle.leaf_hash, leaves))


def _recursive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1 as it is written, to hold the tree against."""
    if len(leaves) < 2:
        return merkle.leaf_hash(leaves[0]) if leaves else hashlib.sha256().digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return merkle.node_hash(_recursive_root(leaves[:split]), _recursive_root(leaves[split:]))


def test_published_roots() -> None:
    assert _tree([]).root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    tree = _tree(LEAVES)
    assert [tree.root(size) for size in range(1, 9)] == ROOTS


def test_published_inclusion_path() -> None:
    assert [digest.hex() for digest in _tree(LEAVES).inclusion(5, 8)] == [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


def test_published_consistency_path() -> None:
    assert [digest.hex() for digest in _tree(LEAVES).consistency(6, 8)] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=40), st.data())
def test_every_leaf_is_proven_and_every_growth(leaves: list[bytes], data: st.DataObject) -> None:
    tree = _tree(leaves)
    size = data.draw(st.integers(1, len(leaves)))
    index = data.draw(st.integers(0, size - 1))
    assert tree.root(size) == _recursive_root(leaves[:size])
    merkle.verify_inclusion(merkle.leaf_hash(leaves[index]), index, size, tree.inclusion(index, size), tree.root(size))
    merkle.verify_consistency(size, tree.root(size), tree.size, tree.root(), tree.consistency(size))


@given(st.integers(2, 24), st.data())
def test_a_proof_fits_nothing_else(count: int, data: st.DataObject) -> None:
    tree = _tree([bytes([number]) for number in range(count)])
    index = data.draw(st.integers(0, count - 1))
    other = data.draw(st.integers(0, count - 1).filter(lambda number: number != index))
    proof, leaf = tree.inclusion(index), merkle.leaf_hash(bytes([index]))
    wrong = [
        (merkle.leaf_hash(bytes([other])), index, count, proof),
        (leaf, other, count, proof),
        (leaf, index, count, proof[:-1]),
        (leaf, index, count, [*proof, bytes(32)]),
        (leaf, count, count, proof),
    ]
    for arguments in wrong:
        with pytest.raises(EvidenceError, match="log-proof"):
            merkle.verify_inclusion(*arguments, tree.root())


@given(st.integers(2, 24), st.data())
def test_a_rewritten_past_is_found(count: int, data: st.DataObject) -> None:
    leaves = [bytes([number]) for number in range(count)]
    first = data.draw(st.integers(1, count - 1))
    forged = _tree([*leaves[: first - 1], b"forged", *leaves[first:]])
    with pytest.raises(EvidenceError, match="log-proof"):
        merkle.verify_consistency(first, _tree(leaves).root(first), count, forged.root(), forged.consistency(first))
    with pytest.raises(EvidenceError, match="log-proof"):
        merkle.verify_consistency(count, forged.root(), first, forged.root(first), [])


def test_ranges_outside_the_log_are_refused() -> None:
    tree = _tree(LEAVES)
    for call in (
        lambda: tree.root(9),
        lambda: tree.inclusion(8),
        lambda: tree.consistency(9),
        lambda: tree.consistency(0),
    ):
        with pytest.raises(EvidenceError, match="log-range"):
            call()


def test_a_note_signed_by_another_program() -> None:
    """The example of Go's package sumdb/note."""
    name, key = read_verifier_key("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    signature = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    assert verify_note(f"{text}\n— {name} {signature}\n".encode(), name, key) == text


def test_a_checkpoint_is_read_back() -> None:
    checkpoint = Checkpoint(ORIGIN, 8, ROOTS[-1])
    note = checkpoint.sign(KEY)
    assert note.startswith(f"{ORIGIN}\n8\n".encode())
    assert Checkpoint.read(note, ORIGIN, KEY.public_key()) == checkpoint
    assert read_verifier_key(verifier_key(ORIGIN, KEY.public_key()))[0] == ORIGIN


def test_every_flipped_byte_of_a_checkpoint_is_found() -> None:
    note = Checkpoint(ORIGIN, 8, ROOTS[-1]).sign(KEY)
    for position in range(len(note)):
        flipped = bytearray(note)
        flipped[position] ^= 1
        with pytest.raises(EvidenceError):
            Checkpoint.read(bytes(flipped), ORIGIN, KEY.public_key())


def test_a_checkpoint_of_another_log_is_refused() -> None:
    note = Checkpoint("bodycam/AGENCY-1/OFFICE-2", 8, ROOTS[-1]).sign(KEY)
    with pytest.raises(EvidenceError, match="log-signature"):
        Checkpoint.read(note, ORIGIN, KEY.public_key())


def test_a_proof_file_proves_by_itself() -> None:
    tree = _tree(LEAVES)
    note = Checkpoint(ORIGIN, tree.size, tree.root()).sign(KEY)
    text = Proof(5, tuple(tree.inclusion(5)), LEAVES[5], note).to_text()
    assert Proof.read(text).verify(ORIGIN, KEY.public_key()).size == 8
    for position in range(len(text)):
        flipped = bytearray(text)
        flipped[position] ^= 1
        with pytest.raises(EvidenceError):
            Proof.read(bytes(flipped)).verify(ORIGIN, KEY.public_key())


@given(st.binary(max_size=300))
def test_parsers_raise_one_error(data: bytes) -> None:
    for parse in (Proof.read, lambda value: Checkpoint.read(value, ORIGIN, KEY.public_key())):
        with pytest.raises(EvidenceError):
            parse(data)
