"""What the office keeps, put together from its folders and keys.

`<data>/store` evidence, `<data>/staging` on its way in, `<data>/quarantine` forks and what a disk garbled,
`<data>/log` the log, `<data>/catalogue.sqlite`, `<data>/accounts` people's secrets, `<data>/broker` the broker's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography import x509

from evidence import pki
from evidence.certificate import Role
from evidence.errors import EvidenceError
from office import casework, catalogue, disposal, ledger, orders, people, retention, scrub, viewing_rows
from office.accounts import Accounts
from office.book import Book, leaves, together
from office.catalogue import Catalogue
from office.clock import Clock
from office.config import OfficeConfig
from office.database import Database, sqlite_url
from office.disposal import Disposals
from office.errors import OfficeError
from office.gate import Gate
from office.heads import Heads
from office.journals import Journals
from office.ledger import Ledger
from office.locks import Locks
from office.log import Log, load_key
from office.orders import Orders
from office.people import People
from office.receipts import Receipts
from office.register import Register
from office.revoked import OfficeRevoked
from office.second import Copies, Target
from office.sessions import Sessions
from office.staging import Staging
from office.stamps import Stamps
from office.store import Store
from office.stores.places import opened
from office.viewing import Viewing
from runtime.disk import make_folder
from runtime.keys import load_certificates
from runtime.keys import load_key as load_p256

ENTERS: Final = together(
    catalogue.ENTERS,
    ledger.ENTERS,
    orders.ENTERS,
    retention.ENTERS,
    disposal.ENTERS,
    scrub.ENTERS,
    people.ENTERS,
    viewing_rows.ENTERS,
    *casework.ENTERS,
)
"""What makes the rows of each act: each domain's own."""


class Archive:
    """The office's holdings. Building it opens everything and changes nothing that is held."""

    apart: Final = False  # as quarantine is

    def __init__(self, config: OfficeConfig) -> None:
        """Raises `OfficeError`, `CredentialError`."""
        self.config = config
        self.roots = load_certificates(config.roots)
        self.office = _identity(load_certificates(config.certificate), self.roots, Role.OFFICE)
        self.signer_chain = load_certificates(config.signer_certificate)
        if _identity(self.signer_chain, self.roots, Role.SIGNER) != self.office:
            raise OfficeError("credentials", f"{config.signer_certificate} is not of office {self.office}")
        self.signer = load_p256(config.signer_key)
        self.signer_kid = pki.key_id(self.signer.public_key())
        if self.signer_kid != pki.key_id(pki.public_key(self.signer_chain[0])):
            raise OfficeError("credentials", f"{config.signer_key} is not the key of {config.signer_certificate}")
        make_folder(config.data)
        agency = pki.role_and_id(self.roots[0])[1]
        quarantine = config.data / "quarantine"
        self.store = Store(config.data / "store", opened(config.store) if config.store else None)
        self.staging = Staging(config.data / "staging")
        self.database = _database(config)
        self.catalogue = Catalogue(self.database)
        self.log = Log(config.data / "log", f"bodycam/{agency}/{self.office}", load_key(config.log_key))
        self.stamps = Stamps(config.data / "log" / "stamps", self.log, config, self.roots)
        self.book = Book(config.data, self.log, self.database, ENTERS)
        self.ledger = Ledger(self.book)
        self.orders = Orders(self.database, self.book, self.office, self.signer, self.signer_kid)
        self.people = People(self.book, self.database)
        self.viewing = Viewing(self.book, self.log.origin, self.catalogue.holds)
        self.gate = Gate(Accounts(config.data / "accounts"), Sessions(), self.people, self.book, config.oidc)
        self.revoked = OfficeRevoked(lambda: self.revocation_lists, self.signer_chain[1:], self.roots)
        self.heads = Heads(self.log, self.book, self.catalogue, config.clock_error_ms)
        self.journals = Journals(
            self.store, self.catalogue, self.roots, quarantine, self.heads.note, lambda: self.revoked.now
        )
        self.register = Register(config.cameras, self.office, self.signer_chain[0], self.roots)
        self.receipts = Receipts(
            self.office, self.signer, config.retention_years, self.store, self.journals, self.log, self.catalogue,
            quarantine,
        )  # fmt: skip

        self.clock = Clock(self.log, self.stamps)
        second = opened(config.second) if config.second else None
        self.places = {"store": self.store.segments, **({"second": second} if second else {})}
        self.disposals = Disposals(self.book, self.clock, [*self.places.values()])
        self.locks = Locks(config.data / "locks.json", self.book, self.log, [*self.places.values()])
        self.copies = Copies(config.data / "copies.json", self.log, self.store, self._targets())
        self.scrub = self.scrub_anew(config.data / "scrub.json")

    def scrub_anew(self, progress: Path) -> scrub.Scrub:
        """A scrub that remembers in this file where it stands."""
        return scrub.Scrub(
            progress, self.database, self.book, self.log, self.store, self.places, self.copies, self.roots
        )

    def lacking_segments(self) -> int:
        """How many segments are not where they belong, of those that have a receipt and were not disposed of."""
        with self.database.read() as db:
            return sum(1 for _ in self.copies.lacking_segments(disposal.gone(db)))

    def _targets(self) -> Iterator[Target]:
        """Who is to have copies: the second place; and a bucket of what else stands here only."""
        config = self.config
        if config.store is not None:
            yield Target("store", self.store.segments, config.data / "scratch", segments=False)
        if config.second is not None:
            folder = config.second.folder
            yield Target("second", self.places["second"], folder / ".incoming" if folder else config.data / "scratch")

    def close(self) -> None:
        """Let go of log and catalogue."""
        self.log.close()
        self.database.close()

    @property
    def revocation_lists(self) -> list[Path]:
        """The agency's lists, which lie beside the signer's certificate: of today, since they come when they come."""
        return sorted(self.config.signer_certificate.parent.glob("*.crl"))


def look(config: OfficeConfig) -> Catalogue:
    """The catalogue alone, to look into; an empty one if the office never ran. Raises `OfficeError`."""
    return Catalogue(_looked_into(config))


def entered(config: OfficeConfig) -> int:
    """How many leaves of the log the catalogue knows, if there is one. Raises `OfficeError`."""
    database = _looked_into(config)
    try:
        return leaves(database)
    finally:
        database.close()


def _looked_into(config: OfficeConfig) -> Database:
    return _database(config) if config.database or _file(config).exists() else Database("sqlite://")


def _database(config: OfficeConfig) -> Database:
    return Database(config.database or sqlite_url(_file(config)))


def _file(config: OfficeConfig) -> Path:
    return config.data / "catalogue.sqlite"


def _identity(chain: list[x509.Certificate], roots: list[x509.Certificate], role: Role) -> str:
    try:
        return pki.validate_chain(chain[0], chain[1:], roots, role=role, at=None).id
    except (EvidenceError, IndexError) as error:
        raise OfficeError("credentials", f"the office's certificate of role {role} does not hold: {error}") from error
