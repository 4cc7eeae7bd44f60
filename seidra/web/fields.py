"""What every schema is made of: strict JSON fields that say which rule was broken, and the body's
base class.

JSON types are taken at their word (no "5" for 5, no 1 for true), so that the served OpenAPI
document tells the truth. Query parameters are text by nature and use the `Query*` fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, validate

from seidra import folding
from seidra.errors import Mistake
from seidra.values import timestamp, to_json
from seidra.web.problems import MAX_MISTAKES

_CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
"""What no line holds."""
_CONTROL = re.compile(f"[{_CONTROLS}]")

MAX_INTEGER = 2**63 - 1
"""The largest integer that the database holds; ids and offsets beyond it name nothing."""


def check_text(value: str) -> None:
    """Raise ValidationError for text that no database column or UTF-8 answer can hold."""
    if "\x00" in value:
        raise ValidationError("Must not contain NUL characters.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValidationError("Must not contain unpaired surrogates.") from None


def check_json(value: Any, depth: int = 8, *, large: bool = False) -> None:
    """Raise ValidationError for a free JSON value that could not be stored and given back as it
    is; `large`: but for integers beyond 64 bits, which `large_as_text` takes."""
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValidationError("Must not contain infinite or undefined numbers.")
    elif isinstance(value, int):
        if not large and not _is_stored(value):
            raise ValidationError("Must not contain integers beyond 64 bits.")
    elif isinstance(value, (dict, list)):
        if depth == 0:
            raise ValidationError("Must not be nested deeper than 8 levels.")
        for part in [*value.keys(), *value.values()] if isinstance(value, dict) else value:
            check_json(part, depth - 1, large=large)


def large_as_text(value: Any) -> Any:
    """A checked JSON value with its integers beyond 64 bits as decimal text: kept whole, as the
    database holds them."""
    if isinstance(value, int) and not _is_stored(value):
        return str(value)
    if isinstance(value, dict):
        return {key: large_as_text(part) for key, part in value.items()}
    return [large_as_text(part) for part in value] if isinstance(value, list) else value


def _is_stored(number: int) -> bool:
    return -MAX_INTEGER - 1 <= number <= MAX_INTEGER


# What texts may hold, as the OpenAPI document says it: a character, and one that is no blank.
# Controls are named, since Python's \s and that of JSON Schema (ECMA-262) differ.
_UNSEEN = rf"{_CONTROLS}\s\u2800{folding.IGNORABLE}"
_IN_TEXT, _IN_TEXT_SEEN = r"[^\x00]", rf"[^{_UNSEEN}]"
_IN_LINE, _IN_LINE_SEEN = rf"[^{_CONTROLS}]", rf"[^{_UNSEEN}]"


class Text(fields.String):
    """A string of `low` to `high` characters. `line`: one line, trimmed; a `low` above 0 forbids
    blanks."""

    def __init__(
        self, low: int = 0, high: int | None = None, *, line: bool = False, **kwargs: Any
    ) -> None:
        # Declared for the OpenAPI document; checked below, after trimming and with one message.
        documented: dict[str, Any] = (
            {"minLength": low, "maxLength": high} if high is not None else {}
        )
        if high is not None:
            # One line or several, and of a text that must not be blank one character that is none.
            any_, seen = (_IN_LINE, _IN_LINE_SEEN) if line else (_IN_TEXT, _IN_TEXT_SEEN)
            documented["pattern"] = f"^{any_}*{seen}{any_}*$" if low else f"^{any_}*$"
        super().__init__(metadata={**documented, **kwargs.pop("metadata", {})}, **kwargs)
        self.low, self.high, self.line = low, high, line

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        check_text(value)
        text = value
        if self.line:
            text = text.strip()
            if _CONTROL.search(text):
                raise ValidationError("Must be one line, without control characters.")
        if self.high is not None and len(text) > self.high:
            raise self._wrong_length()
        if self.low and folding.is_blank(text):
            raise ValidationError(Mistake("Must not be blank.", "blank"))
        if len(text) < self.low:
            raise self._wrong_length()
        return text

    def _wrong_length(self) -> ValidationError:
        bounds = {"min": self.low} if self.high is None else {"min": self.low, "max": self.high}
        return ValidationError(
            Mistake(f"Must have {self.low} to {self.high} characters.", "length", **bounds)
        )


class Flag(fields.Boolean):
    """true or false, nothing else."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("Must be true or false.")
        return value


class _Ranged(fields.Field[Any]):
    """For numbers from `low` to `high`, which the OpenAPI document says too."""

    def __init__(self, low: float, high: float, **kwargs: Any) -> None:
        super().__init__(
            metadata={"minimum": low, "maximum": high, **kwargs.pop("metadata", {})}, **kwargs
        )
        self.low, self.high = low, high

    def check_range(self, value: float, kind: str) -> None:
        """Raise ValidationError for a value beyond `low` and `high`."""
        if not self.low <= value <= self.high:
            sentence = f"Must be {kind} from {self.low} to {self.high}."
            raise ValidationError(Mistake(sentence, "range", min=self.low, max=self.high))


class Whole(_Ranged, fields.Integer):
    """A whole number from `low` to `high`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        # 1.0 is a whole number in JSON too.
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValidationError("Must be a whole number.")
        self.check_range(value, "a whole number")
        return value


class Number(_Ranged, fields.Float):
    """A number from `low` to `high`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValidationError("Must be a number.")
        check_json(value)
        self.check_range(value, "a number")
        return value


class FreeObject(fields.Dict):
    """Any JSON object up to `size` bytes as compact JSON."""

    def __init__(self, size: int = 8192, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        loaded = super()._deserialize(value, attr, data, **kwargs)  # type: ignore[no-untyped-call]
        check_json(loaded)
        check_size(loaded, self.size)
        return loaded


def check_size(value: Any, size: int) -> None:
    """Raise ValidationError for a checked JSON value of more than `size` bytes."""
    if len(to_json(value).encode()) > size:
        raise ValidationError(f"Must not take more than {size} bytes as JSON.")


def check_count(value: Any, high: int, what: str) -> None:
    """Raise ValidationError for a list or mapping of more than `high` parts: asked before any of
    them is looked at, for a body may hold half a million."""
    if isinstance(value, (list, dict)) and len(value) > high:
        raise ValidationError(Mistake(f"Must have at most {high} {what}.", "count", max=high))


class FilePart(fields.Field[Any]):
    """A file of a multipart body, loaded as the `Upload` that was received."""

    def __init__(self, **kwargs: Any) -> None:
        documented = {"type": "string", "format": "binary", **kwargs.pop("metadata", {})}
        super().__init__(metadata=documented, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, str):
            raise ValidationError("Must be a file: its part needs a filename.")
        return value


class UuidText(fields.UUID):
    """A UUID, loaded as the text that the database has."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        return str(super()._deserialize(value, attr, data, **kwargs))


MAX_TAGS = 50
"""Tags that a thing may have."""


class Items(fields.List[Any]):
    """A list of at most `high` parts, which a message calls `what`."""

    def __init__(self, part: fields.Field[Any], high: int, what: str, **kwargs: Any) -> None:
        documented = {"maxItems": high, **kwargs.pop("metadata", {})}
        super().__init__(part, metadata=documented, **kwargs)
        self.high, self.what = high, what

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        check_count(value, self.high, self.what)
        return super()._deserialize(value, attr, data, **kwargs)


class Entries(fields.Dict):
    """An object with at most `high` parts, which a message calls `what`."""

    def __init__(
        self,
        keys: fields.Field[Any],
        values: fields.Field[Any],
        high: int,
        what: str,
        **kwargs: Any,
    ) -> None:
        documented = {"maxProperties": high, **kwargs.pop("metadata", {})}
        super().__init__(keys, values, metadata=documented, **kwargs)
        self.high, self.what = high, what

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        check_count(value, self.high, self.what)
        return super()._deserialize(value, attr, data, **kwargs)  # type: ignore[no-untyped-call]


class Tags(Items):
    """At most 50 tags of 1-50 characters; trimmed, and unique in the form that lists are filtered
    by (the first spelling stays)."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(Text(1, 50, line=True), MAX_TAGS, "tags", **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        tags = super()._deserialize(value, attr, data, **kwargs)
        return list({folding.fold(tag): tag for tag in reversed(tags)}.values())[::-1]


class Names(Items):
    """At most 50 names of 1-200 characters, such as LoRA models."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(Text(1, 200, line=True), 50, "names", **kwargs)


class QueryWhole(fields.Integer):
    """A whole number in a query string, from `low` to `high`; beyond what the database holds it is
    cut to that."""

    def __init__(self, low: int, high: int = MAX_INTEGER, **kwargs: Any) -> None:
        self.low, self.high = low, high
        documented = {"minimum": low} if high == MAX_INTEGER else {"minimum": low, "maximum": high}
        super().__init__(metadata={**documented, **kwargs.pop("metadata", {})}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        rule = f"Must be a whole number from {self.low}" + (
            f" to {self.high}." if self.high < MAX_INTEGER else " on."
        )
        # Digits only: int() would also take "1_0", spaces and other scripts' digits; it raises
        # beyond 4300 of them.
        if not re.fullmatch(r"-?[0-9]{1,4000}", value):
            raise ValidationError(rule)
        number = min(int(value), MAX_INTEGER)
        if not self.low <= number <= self.high:
            raise ValidationError(rule)
        return number


class QueryFlag(fields.Boolean):
    """true or false (also 1 or 0) in a query string."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        known = {"true": True, "1": True, "false": False, "0": False}
        if value.lower() not in known:
            raise ValidationError("Must be true or false.")
        return known[value.lower()]


_WEEK = r"\d{4}-?W\d\d"
_DATE = rf"\d{{4}}-?\d\d-?\d\d|{_WEEK}(-?\d)?"
"""A day, or a week, without a time: what an upper end means the end of."""


class QueryZone(fields.Field[tzinfo]):
    """The name of a time zone in a query string."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tzinfo:
        return _time_zone(value)


def _time_zone(name: object) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        # Neither a way out of the folder of zones, nor what else lies in it.
        if isinstance(name, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_+/-]{0,63}", name):
            return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        pass
    raise ValidationError("Must be the name of a time zone, such as Europe/Paris.")


class QueryTime(fields.String):
    """An ISO-8601 date or time in a query string, loaded as a timestamp; without an offset it is in
    the zone of the parameter `tz`, or else UTC.

    `end_of_day` makes a bare date mean the end of that day, for the upper end of a range.
    """

    def __init__(self, *, end_of_day: bool = False, **kwargs: Any) -> None:
        documented = {"anyOf": [{"format": "date"}, {"format": "date-time"}]}
        super().__init__(metadata={**documented, **kwargs.pop("metadata", {})}, **kwargs)
        self.end_of_day = end_of_day

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs).upper()
        try:
            zone = _time_zone(data.get("tz", "UTC"))
        except ValidationError:
            # Its own field says so.
            zone = UTC
        try:
            # A plus sign in a query string reads as a space.
            moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
            if self.end_of_day and re.fullmatch(_DATE, text):
                days = 6 if re.fullmatch(_WEEK, text) else 0
                moment += timedelta(days=days + 1, microseconds=-1)
                # Of an hour that comes twice, the last.
                moment = moment.replace(fold=1)
            return timestamp(moment if moment.tzinfo else moment.replace(tzinfo=zone))
        except (ValueError, OverflowError):
            raise ValidationError(
                "Must be an ISO-8601 date or time, such as 2026-01-31 or 2026-01-31T12:00:00Z."
            ) from None


class Body(Schema):
    """A request body: unknown fields are errors, but what an answer carries read-only is
    ignored."""

    READ_ONLY: frozenset[str] = frozenset()
    """Fields that answers carry and this body does not declare; dump_only ones are known anyway."""

    ONE_OF: tuple[str, ...] = ()
    """Fields of which a body must have one at least."""

    BARE: str | None = None
    """A field whose value, an array, is taken for a whole body."""

    class Meta:
        unknown = RAISE

    def load(self, data: Any, **kwargs: Any) -> Any:
        """As marshmallow's, of the fields that are not read-only; of unknown ones it sees as many
        as are told, for each costs it more than a body's bytes."""
        if self.BARE is not None and isinstance(data, list):
            data = {self.BARE: data}
        if isinstance(data, dict):
            data = {name: value for name, value in data.items() if name not in self._ignored}
            unknown = data.keys() - self._known
            if self.unknown == RAISE and len(unknown) > MAX_MISTAKES:
                told = set(islice((name for name in data if name in unknown), MAX_MISTAKES))
                data = {n: v for n, v in data.items() if n in told or n not in unknown}
        return super().load(data, **kwargs)

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(field.data_key or name for name, field in self.load_fields.items())

    @cached_property
    def _ignored(self) -> frozenset[str]:
        return frozenset((self.READ_ONLY | self.dump_fields.keys()) - self.load_fields.keys())


def bounds_of(schema: type[Schema]) -> dict[str, dict[str, float]]:
    """What a form needs to know of a schema's fields: {field: {min, max}}, of texts in characters,
    of lists in parts."""
    bounds: dict[str, dict[str, float]] = {}
    for name, field in schema._declared_fields.items():
        if isinstance(field, Text):
            high = field.metadata.get("maxLength") if field.high is None else field.high
            if high is not None:
                bounds[name] = {"min": field.low, "max": high}
        elif isinstance(field, _Ranged):
            bounds[name] = {"min": field.low, "max": field.high}
        elif isinstance(field, fields.List) and hasattr(field, "high"):
            bounds[name] = {"min": 0, "max": field.high}
    return bounds


class Query(Schema):
    """Query parameters: unknown ones are ignored."""

    class Meta:
        unknown = EXCLUDE


class StatsQuery(Query):
    """Whether NSFW things count."""

    include_nsfw = QueryFlag(load_default=False)


class PageQuery(Query):
    """`limit` and `offset` of every list."""

    limit = QueryWhole(1, 100, load_default=20, metadata={"description": "How many to answer."})
    offset = QueryWhole(0, load_default=0, metadata={"description": "How many to pass over."})


def page_reach(query: Mapping[str, Any]) -> int:
    """How many rows there are up to the end of the page that a PageQuery asks for, as far as a
    database counts."""
    return min(int(query["offset"]) + int(query["limit"]), MAX_INTEGER)


def one_of(*names: str) -> Callable[[Any], Any]:
    """A validator for a choice, with a message that lists it."""
    return validate.OneOf(names, error=f"Must be one of: {', '.join(names)}.")
