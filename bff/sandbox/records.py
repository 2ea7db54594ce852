"""The undocumented part of a profile: fields as on the REST Coworker record (FACTS 3, 9).

Real profile objects carry some 60-180 fields more than the documented ones; names follow the
public REST documentation, values are invented.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

Make = Callable[[Random], object]

SHOWN_MIN, SHOWN_MAX = 60, 163  # besides the directory's fields, which every profile carries too

_STREETS = ("High Street", "Rue de Rivoli", "Königsallee", "Calle Mayor", "Øster Farimagsgade")
_CITIES = ("London", "Paris", "Düsseldorf", "Málaga", "København", "Kraków", "São Paulo", "東京")
_PLANS = ("Hot Desk", "Fixed Desk", "Private Office", "Virtual Office", "Day Pass 10")
_CURRENCIES = ("GBP", "EUR", "USD", "DKK")
_NOTES = (
    "Prefers the desk by the window.",
    'Says "call first", then e-mail.\nKey returned on 3/4.',
    "Invoice on the 1st; <b>no</b> paper & no SMS.",
    "Rendez-vous déplacé à jeudi — à confirmer.",
)


@dataclass(frozen=True, slots=True)
class Extras:
    """Every undocumented field of a record, and how many of them the profile list shows."""

    fields: Mapping[str, object]
    shown: int


def extras_of(seed: int, coworker_id: int) -> Extras:
    """The same record for the same seed and id, whatever was asked before."""
    rng = Random(f"{seed}:record:{coworker_id}")  # noqa: S311  (repeatable on purpose)
    shown = rng.randint(SHOWN_MIN, SHOWN_MAX)
    return Extras({name: make(rng) for name, make in CATALOGUE}, shown)


def _flag(probability: float) -> Make:
    return lambda rng: rng.random() < probability


def _maybe(make: Make, probability: float = 0.5) -> Make:
    return lambda rng: make(rng) if rng.random() < probability else None


def _among(*values: object) -> Make:
    return lambda rng: rng.choice(values)


def _number(low: int, high: int) -> Make:
    return lambda rng: rng.randint(low, high)


def _money(rng: Random) -> object:
    return round(rng.uniform(0, 900), 2)


def _date(rng: Random) -> object:
    year, month, day = rng.randint(2019, 2026), rng.randint(1, 12), rng.randint(1, 28)
    return f"{year}-{month:02}-{day:02}T{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:00Z"


def _phone(rng: Random) -> object:
    return f"+44 20 7946 {rng.randint(0, 9999):04}"


def _address(rng: Random) -> object:
    return f"{rng.randint(1, 220)} {rng.choice(_STREETS)}"


def _post_code(rng: Random) -> object:
    return f"E{rng.randint(1, 20)} {rng.randint(1, 9)}AA"


def _guid(rng: Random) -> object:
    digits = f"{rng.getrandbits(128):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _hex(rng: Random) -> object:
    return f"{rng.getrandbits(64):016X}"


def _wide_id(rng: Random) -> object:
    return rng.randint(2**53 + 1, 2**63 - 1)


def _ids(rng: Random) -> object:
    return [rng.randint(1_000, 99_999) for _ in range(rng.randint(0, 3))]


def _country(rng: Random) -> object:
    name, code = rng.choice((("United Kingdom", "GB"), ("España", "ES"), ("Danmark", "DK")))
    return {"Id": 1200 + len(name), "Name": name, "TwoDigitsCode": code}


def _contracts(rng: Random) -> object:
    return [
        {
            "Id": rng.randint(80_000, 89_999),
            "StartDate": _date(rng),
            "RenewalDate": _date(rng),
            "InPausedPeriod": rng.random() < 0.1,
            "Tariff": {"Id": rng.randint(10, 90), "Name": rng.choice(_PLANS), "Price": _money(rng)},
        }
        for _ in range(rng.randint(0, 2))
    ]


def _preferences(rng: Random) -> object:
    return json.dumps({"theme": rng.choice(("dark", "light")), "pinned": _ids(rng)})


def _custom(number: int) -> tuple[str, Make]:
    return f"Custom{number}", _maybe(_among("Yes", "No", "n/a", "Größe M", ""), 0.2)


def _notify(event: str) -> tuple[str, Make]:
    return f"NotifyOn{event}", _flag(0.7)


_text = _among(None, "", *_NOTES)
_city = _among(*_CITIES)
_plan = _among(*_PLANS)
_currency = _among(*_CURRENCIES)

CATALOGUE: tuple[tuple[str, Make], ...] = (
    ("Businesses", lambda rng: [5001, *([5002] if rng.random() < 0.2 else [])]),
    ("Teams", _ids),
    ("InvoicingBusinessId", _among(5001, 5001, 5001, 5002)),
    ("Salutation", _maybe(_among("Ms", "Mr", "Mx", "Dr"), 0.3)),
    ("Gender", _number(1, 4)),
    ("DateOfBirth", _maybe(_date, 0.4)),
    ("Address", _maybe(_address, 0.7)),
    ("PostCode", _maybe(_post_code, 0.7)),
    ("CityName", _maybe(_city, 0.8)),
    ("State", _maybe(_among("Andalucía", "Bavaria", "Kent"), 0.2)),
    ("CountryId", _number(1200, 1240)),
    ("Country", _country),
    ("SimpleTimeZoneId", _number(2000, 2100)),
    ("MobilePhone", _maybe(_phone, 0.8)),
    ("LandLine", _maybe(_phone, 0.2)),
    ("NickName", _maybe(_among("Ace", "Zed", "Mimi", "Ñoño"), 0.2)),
    ("RegistrationDate", _date),
    ("CreatedOn", _date),
    ("UpdatedOn", _date),
    ("UpdatedBy", _among("front.desk@example.com", "system@example.com")),
    ("TariffId", _maybe(_number(10, 90), 0.8)),
    ("TariffName", _maybe(_plan, 0.8)),
    ("TariffPrice", _money),
    ("TariffCurrencyCode", _currency),
    ("NextTariffId", _maybe(_number(10, 90), 0.1)),
    ("NextTariffName", _maybe(_plan, 0.1)),
    ("CoworkerContractUniqueIds", lambda rng: [_guid(rng) for _ in range(rng.randint(0, 2))]),
    ("Contracts", _contracts),
    ("NextInvoice", _maybe(_date, 0.8)),
    ("CancellationDate", _maybe(_date, 0.1)),
    ("AccessCardId", _maybe(_wide_id, 0.6)),
    ("CardNumber", _maybe(_hex, 0.6)),
    ("AccessPincode", _maybe(_number(1000, 9999), 0.4)),
    ("KeyFobNumber", _maybe(_hex, 0.3)),
    ("ExternalSystemId", _wide_id),
    ("SystemId", _maybe(_guid, 0.1)),
    ("RefererGuid", _guid),
    ("IsNew", _flag(0.0)),
    ("LocalizationDetails", _among(None)),
    ("BillingName", _maybe(_among("Accounts Payable", "Finance & Legal", "Buchhaltung"), 0.5)),
    ("BillingEmail", _maybe(_among("billing@example.com", "ap@example.org"), 0.5)),
    ("BillingAddress", _maybe(_address, 0.5)),
    ("BillingPostCode", _maybe(_post_code, 0.5)),
    ("BillingCityName", _maybe(_city, 0.5)),
    ("BillingState", _among(None)),
    ("BillingCountryId", _maybe(_number(1200, 1240), 0.5)),
    ("BillingDay", _maybe(_number(1, 28), 0.5)),
    ("TaxIDNumber", _maybe(_hex, 0.4)),
    ("TaxRateId", _maybe(_number(1, 9), 0.5)),
    ("RegularPaymentProvider", _maybe(_among("Stripe", "GoCardless"), 0.6)),
    ("RegularPaymentContractNumber", _maybe(_guid, 0.6)),
    ("DiscountCode", _maybe(_among("FRIENDS10", "NGO50"), 0.1)),
    ("DiscountAmount", _maybe(_money, 0.1)),
    ("CreditBalance", _money),
    ("DueInvoicesTotal", _money),
    ("DueInvoicesIn30Days", _number(0, 4)),
    ("PurchaseOrder", _maybe(_hex, 0.2)),
    ("DoNotProcessInvoicesAutomatically", _flag(0.1)),
    ("CombineInvoices", _flag(0.5)),
    ("SendInvoicesAutomatically", _flag(0.8)),
    ("CheckedIn", _flag(0.3)),
    ("LastCheckin", _maybe(_date, 0.7)),
    ("CheckinCount", _number(0, 900)),
    ("AutoCheckin", _flag(0.3)),
    ("DeskId", _maybe(_number(1, 400), 0.4)),
    ("DeskNames", lambda rng: [f"D-{rng.randint(1, 400)}" for _ in range(rng.randint(0, 2))]),
    ("FloorPlanId", _maybe(_number(1, 9), 0.4)),
    ("FloorPlanPosition", lambda rng: {"X": round(rng.random(), 6), "Y": round(rng.random(), 6)}),
    ("EmergencyContact", _maybe(_among("Partner", "Ana Núñez", "Reception"), 0.4)),
    ("EmergencyContactPhone", _maybe(_phone, 0.4)),
    ("VehicleRegistration", _maybe(_hex, 0.1)),
    ("WifiUserName", _maybe(_hex, 0.5)),
    ("PrinterUserId", _maybe(_number(1, 9_999), 0.5)),
    ("NumberOfTeamMembers", _number(0, 25)),
    ("TeamNames", _maybe(_among("Studio, Ops", "Growth"), 0.3)),
    ("IsTeamAdmin", _flag(0.1)),
    ("IsPayingMember", _flag(0.9)),
    ("Archived", _flag(0.0)),
    ("HasContactDetails", _flag(0.8)),
    ("HasBanner", _flag(0.2)),
    ("HasAvatar", _flag(0.7)),
    ("BannerUrl", _maybe(_among("https://cdn.example.com/banner/1.jpg"), 0.2)),
    ("GeneralTermsAcceptedOn", _maybe(_date, 0.8)),
    ("GeneralTermsAccepted", _maybe(_text, 0.3)),
    ("Notes", _text),
    ("AdminNotes", _text),
    ("DeliveryHandlingPreference", _number(1, 5)),
    ("DeliveryAddress", _maybe(_address, 0.2)),
    ("VirtualOfficeAddress", _maybe(_address, 0.2)),
    ("VisitorHostName", _maybe(_among("Front desk", "Zoë"), 0.2)),
    ("DefaultLanguage", _among("en", "es", "de", "da", "fr")),
    ("Preferences", _preferences),
    ("Score", lambda rng: rng.uniform(-1, 1)),
    ("Latitude", lambda rng: round(rng.uniform(-90, 90), 7)),
    ("Longitude", lambda rng: round(rng.uniform(-180, 180), 7)),
    ("PrimaryContactId", _maybe(_number(20_000, 29_999), 0.2)),
    ("LeadSource", _maybe(_among("Website", "Referral", "Walk-in"), 0.6)),
    ("LifetimeValue", _money),
    ("SignUpFormId", _maybe(_number(1, 40), 0.3)),
    ("ExternalReference", _maybe(_guid, 0.2)),
    ("HelpDeskPriority", _number(1, 3)),
    ("LockerNumber", _maybe(_number(1, 120), 0.3)),
    ("ParkingSpot", _maybe(_among("P1-04", "P2-11"), 0.1)),
    ("DietaryRequirements", _maybe(_among("Vegan", "No nuts", "Łaktoza"), 0.2)),
    ("BookingBufferMinutes", _number(0, 30)),
    *(
        _notify(event)
        for event in (
            "NewInvoice",
            "NewPayment",
            "FailedPayment",
            "NewBlogPost",
            "NewBlogComment",
            "NewEvent",
            "NewEventComment",
            "NewWallMessage",
            "NewDelivery",
            "NewVisitor",
            "NewHelpDeskMessage",
            "NewCommunityThread",
            "NewCommunityReply",
            "BookingReminder",
            "BookingCancelled",
            "CourseUpdate",
            "ContractRenewal",
            "LowCredit",
        )
    ),
    ("EmailForNewsletter", _flag(0.6)),
    ("EmailForOffers", _flag(0.3)),
    ("SmsForAlerts", _flag(0.2)),
    ("PushEnabled", _flag(0.7)),
    ("PushDeviceCount", _number(0, 4)),
    ("Google", _among(None)),
    ("Pinterest", _among(None)),
    ("Flickr", _among(None)),
    ("Vimeo", _maybe(_among("https://vimeo.com/example"), 0.1)),
    ("Tumblr", _among(None)),
    ("Blogger", _among(None)),
    *(_custom(number) for number in range(1, 31)),
)
