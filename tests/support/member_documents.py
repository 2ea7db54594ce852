"""Profile lists as Nexudus may give them, in any number: its public field names, invented values.

Names and their order are those of the REST Coworker record (FACTS 3, 9). A user's profiles share
what is the user's (name, e-mail, address, payment), and differ in what is a profile's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from random import Random

from bff.sandbox.names import AREAS, FIRST, LAST, POSITIONS, TAGS

Json = dict[str, object]
Make = Callable[["Voice"], object]

_DOCUMENTED = """
Id FullName CompanyName Active IsDefaultProfile CoworkerType HasVirtualOffice VirtualOfficePaused
VirtualOfficeContractId
"""
_RECORD = """
Businesses Teams Salutation Gender Email CreateUser AvatarFileName NewAvatarUrl ClearAvatarFile
BannerImageFileName NewBannerImageUrl ClearBannerImageFile Address PostCode CityName State CountryId
SimpleTimeZoneId MobilePhone LandLine DateOfBirth NickName BusinessArea Position ProfileWebsite
ProfileTags ProfileSummary Twitter Facebook Google Telegram Linkedin Skype Github Pinterest Flickr
Instagram Vimeo Tumblr Blogger ProfileIsPublic InvoicingBusinessId InvoicingBusinessName
BillingEmail BillingName BillingAddress BillingPostCode BillingCityName BillingState
BillingCountryId BillingSimpleTimeZoneId TaxRateId TaxIDNumber BankName BankAccount BankBranch
NotifyOnNewInvoice NotifyOnNewPayment NotifyOnFailedPayment ShowPayingMemberInvoices
EnableGoCardlessPayments UseGoCardlessProPayments GoCardlessContractNumber
LastOverDueInvoiceReminder LastLowCreditReminder RefererGuid RegularPaymentProvider
RegularPaymentContractNumber CardNumber DoNotProcessInvoicesAutomatically AllowNetworkCheckin
CheckinSinceLastRenewal MinutesSinceLastRenewal AccessCardId AccessPincode KeyFobNumber
NotifyOnDelivery EzeepUserId EzeepFreePrinting PaperCutPayAsYouPrint PaperCutFreePrinting
ReferenceNumber Tag Notes ShowAlert AlertNote UserId BillingDay NextInvoice NextAutoInvoice
InvoiceDueDatePeriod RegistrationDate CancellationDate GeneralTermsAccepted LastRenewal
LastInvoiceAttempt Custom1 Custom2 Custom3 Custom4 Custom5 Custom6 Custom7 Custom8 Custom9 Custom10
NextInvoiceLocal NextAutoInvoiceLocal RegistrationDateLocal AccessControlDebounceTime TariffId
TariffName NextTariffId NextTariffName CoworkerContractUniqueIds UniqueId UpdatedOn CreatedOn
UpdatedBy IsNew SystemId ToStringText LocalizationDetails CustomFields
"""
_FLAGS = """
IsDefaultProfile HasVirtualOffice ProfileIsPublic NotifyOnNewInvoice NotifyOnNewPayment
NotifyOnFailedPayment ShowPayingMemberInvoices EnableGoCardlessPayments UseGoCardlessProPayments
DoNotProcessInvoicesAutomatically AllowNetworkCheckin NotifyOnDelivery EzeepFreePrinting
PaperCutPayAsYouPrint PaperCutFreePrinting ShowAlert GeneralTermsAccepted IsNew CreateUser
"""
FLAGS = frozenset(_FLAGS.split())
NAMES = (*_DOCUMENTED.split(), *_RECORD.split())


@dataclass(frozen=True, slots=True)
class Words:
    """What invented values are made of."""

    first: tuple[str, ...] = FIRST
    last: tuple[str, ...] = LAST
    streets: tuple[str, ...] = ("High Street", "Rue de Rivoli", "Calle Mayor", "Market Square")
    cities: tuple[str, ...] = ("London", "Paris", "Madrid", "Berlin", "Lisbon", "Austin")
    plans: tuple[str, ...] = ("Hot Desk", "Fixed Desk", "Private Office", "Virtual Office")
    tags: tuple[str, ...] = TAGS
    domain: str = "example.com"
    dial: str = "+44 20 "


def syllables(seed: int) -> Words:
    """Words that are no language's."""
    rng = Random(seed)

    def word(parts: int) -> str:
        made = "".join(
            rng.choice("bcdfghklmnprstvz") + rng.choice("aeiouäéø") for _ in range(parts)
        )
        return made.capitalize()

    def many(parts: int, count: int = 400) -> tuple[str, ...]:
        return tuple(word(parts) for _ in range(count))

    return Words(
        many(2), many(3), many(5), many(3), many(4), many(3), f"{word(4).lower()}.example", "+351 "
    )


class Voice:
    """One person and what they say: `own` draws anew, `shared` the same in all their profiles."""

    def __init__(self, rng: Random, words: Words) -> None:
        self.rng, self.words = rng, words
        self.first, self.last = rng.choice(words.first), rng.choice(words.last)
        self.user_id = rng.randint(10**6, 10**9)
        self.coworker_id = 0
        self.of_user: dict[str, object] = {}

    def maybe(self, share: float, value: object) -> object:
        return value if self.rng.random() < share else None

    def digits(self, count: int) -> str:
        return "".join(self.rng.choice("0123456789") for _ in range(count))

    def guid(self) -> str:
        bits = f"{self.rng.getrandbits(128):032x}"
        return "-".join((bits[:8], bits[8:12], bits[12:16], bits[16:20], bits[20:]))

    def moment(self, since: int = 2019) -> str:
        rng = self.rng
        day = f"{rng.randint(since, 2026)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
        return f"{day}T{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}Z"

    def text(self) -> str:
        return " ".join(self.rng.choice(self.words.tags) for _ in range(self.rng.randint(3, 9)))

    def company(self) -> str:
        return f"{self.rng.choice(self.words.last)} {self.rng.choice(('Studio', 'Ltd', 'GmbH'))}"

    def address(self) -> str:
        return f"{self.rng.randint(1, 220)} {self.rng.choice(self.words.streets)}"

    def email(self) -> str:
        return f"{self.first}.{self.last}@{self.words.domain}".lower()


_OF_USER: Mapping[str, Make] = {
    "FullName": lambda v: f"{v.first} {v.last}",
    "CompanyName": lambda v: v.maybe(0.8, v.company()),
    "Email": Voice.email,
    "Gender": lambda v: v.rng.randint(1, 5),
    "Address": lambda v: v.maybe(0.7, v.address()),
    "PostCode": lambda v: v.maybe(0.7, v.digits(5)),
    "CityName": lambda v: v.maybe(0.8, v.rng.choice(v.words.cities)),
    "CountryId": lambda v: v.rng.randint(1001, 1250),
    "SimpleTimeZoneId": lambda v: v.rng.randint(2001, 2140),
    "MobilePhone": lambda v: v.maybe(0.8, v.words.dial + v.digits(8)),
    "DateOfBirth": lambda v: v.maybe(0.3, v.moment(1960)),
    "BusinessArea": lambda v: v.rng.choice(AREAS),
    "Position": lambda v: v.rng.choice(POSITIONS),
    "ProfileWebsite": lambda v: v.maybe(0.4, f"https://{v.last.lower()}.{v.words.domain}"),
    "ProfileTags": lambda v: v.maybe(0.6, ",".join(v.rng.sample(v.words.tags, 3))),
    "ProfileSummary": lambda v: v.maybe(0.4, v.text()),
    "Linkedin": lambda v: v.maybe(0.4, f"https://www.linkedin.com/in/{v.last}{v.digits(4)}"),
    "BillingEmail": lambda v: v.maybe(0.5, f"billing@{v.words.domain}"),
    "BillingName": lambda v: v.maybe(0.5, v.company()),
    "BillingAddress": lambda v: v.maybe(0.5, v.address()),
    "BillingPostCode": lambda v: v.maybe(0.5, v.digits(5)),
    "BillingCityName": lambda v: v.maybe(0.5, v.rng.choice(v.words.cities)),
    "TaxIDNumber": lambda v: v.maybe(0.3, v.digits(9)),
    "UserId": lambda v: v.user_id,
    "UpdatedBy": Voice.email,
    "ToStringText": lambda v: f"{v.first} {v.last}",
}
_OF_PROFILE: Mapping[str, Make] = {
    "Id": lambda v: v.coworker_id,
    "Active": lambda v: v.rng.random() < 0.9,
    "CoworkerType": lambda v: v.rng.choice((1, 1, 1, 2)),
    "Businesses": lambda v: [v.user_id % 10_000],
    "Teams": lambda v: v.rng.choice(([], [], [v.rng.randint(1_000, 9_999)])),
    "InvoicingBusinessId": lambda v: v.user_id % 10_000,
    "RegularPaymentProvider": lambda v: v.rng.choice((2, 2, 12, 0)),
    "RegularPaymentContractNumber": lambda v: v.maybe(0.5, f"cus_{v.guid()[:13]}"),
    "RefererGuid": lambda v: v.maybe(0.2, v.guid()),
    "CardNumber": lambda v: v.maybe(0.5, v.digits(4)),
    "CheckinSinceLastRenewal": lambda v: v.rng.randint(0, 30),
    "MinutesSinceLastRenewal": lambda v: v.rng.randint(0, 9_999),
    "AccessCardId": lambda v: v.maybe(0.5, v.digits(10)),
    "AccessPincode": lambda v: v.maybe(0.4, v.digits(4)),
    "KeyFobNumber": lambda v: v.maybe(0.2, v.digits(8)),
    "ReferenceNumber": lambda v: v.maybe(0.2, v.digits(6)),
    "Notes": lambda v: v.maybe(0.2, v.text()),
    "BillingDay": lambda v: v.rng.randint(1, 28),
    "NextInvoice": lambda v: v.maybe(0.7, v.moment(2025)),
    "NextAutoInvoice": lambda v: v.maybe(0.5, v.moment(2025)),
    "RegistrationDate": Voice.moment,
    "LastRenewal": lambda v: v.maybe(0.6, v.moment(2025)),
    "TariffId": lambda v: v.maybe(0.7, v.rng.randint(10**6, 10**8)),
    "TariffName": lambda v: v.maybe(0.7, v.rng.choice(v.words.plans)),
    "CoworkerContractUniqueIds": lambda v: v.maybe(0.6, v.guid()),
    "Custom1": lambda v: v.maybe(0.3, v.rng.choice(v.words.tags)),
    "UniqueId": Voice.guid,
    "UpdatedOn": lambda v: v.moment(2025),
    "CreatedOn": Voice.moment,
}


def _value(voice: Voice, name: str) -> object:
    if name in _OF_PROFILE:
        return _OF_PROFILE[name](voice)
    if name not in NAMES:
        return voice.rng.choice((None, None, None, False, False, voice.digits(5), voice.moment()))
    if name in FLAGS:
        return voice.rng.random() < 0.3
    if name in _OF_USER and voice.rng.random() < 0.1:
        return _OF_USER[name](voice)
    return voice.of_user.get(name)


def profile_lists(
    seed: int, words: Words, profiles: int, names: tuple[str, ...] = NAMES, fields: int = 100
) -> Iterator[Json]:
    """Without end: lists of `profiles` objects that have the first and some later of `names`."""
    rng = Random(seed)
    always = min(len(_DOCUMENTED.split()), fields)
    while True:
        voice = Voice(rng, words)
        voice.of_user = {name: make(voice) for name, make in _OF_USER.items()}
        more = set(rng.sample(names[always:], fields - always))
        shown = (*names[:always], *(name for name in names[always:] if name in more))
        items = []
        for _ in range(profiles):
            voice.coworker_id = rng.randint(10**6, 10**9)
            items.append({name: _value(voice, name) for name in islice(shown, fields)})
        user: Json = {
            "Id": voice.user_id, "FullName": f"{voice.first} {voice.last}",
            "Email": voice.email(), "Active": True, "IsAdmin": False,
        }  # fmt: skip
        business = {"Id": 5001, "Name": voice.company(), "WebAddress": voice.last.lower()}
        yield {"User": user, "DefaultBusiness": business, "Profiles": items}
