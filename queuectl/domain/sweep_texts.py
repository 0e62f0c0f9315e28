"""The fields of a sweep's jobs, beside their command, in which placeholders stand for values."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from queuectl.domain.errors import InvalidInput
from queuectl.domain.job_fields import FIELDS, Kind, Spec
from queuectl.domain.placeholders import SLOT, Piece, Place, pieces_of, values_of, variable_of
from queuectl.domain.views import looks_secret

TEXTS = ("input", "input_text", "env", "unique", "labels")
"""These fields; of a variable (`env`) the value may have some. A value is data in all of them."""


def texts_of(spec: Spec, name: str) -> tuple[str, ...]:
    """Return the texts of a field that may have placeholders."""
    value = getattr(spec, name) or ()
    if FIELDS[name].kind is Kind.PAIRS:
        return tuple(text for _, text in value)
    return (value,) if isinstance(value, str) else tuple(value)


def shown_texts(spec: Spec) -> Iterator[str]:
    """Yield the texts that are no secrets, of all of these fields."""
    for name in TEXTS:
        if name == "env":
            yield from (text for key, text in spec.env if not looks_secret(key))
        elif not FIELDS[name].is_secret:
            yield from texts_of(spec, name)


def filled_value(
    spec: Spec, name: str, parts: Sequence[Sequence[Piece]], texts: Mapping[str, str]
) -> object:
    """Return the value of a field with `texts` where its parts have placeholders."""
    values = tuple("".join(filled(part, texts)) for part in parts)
    kind = FIELDS[name].kind
    if kind is Kind.PAIRS:
        pairs = getattr(spec, name)
        return tuple((key, text) for (key, _), text in zip(pairs, values, strict=True))
    return values if kind is Kind.WORDS else values[0]


def filled(part: Sequence[Piece], texts: Mapping[str, str]) -> Iterator[str]:
    """Yield the pieces of a text with values in the place of placeholders, as they are."""
    for piece in part:
        yield piece if isinstance(piece, str) else " ".join(values_of(piece, texts))


def refuse_elsewhere(spec: Spec, names: Collection[str], values: Sequence[str]) -> None:
    """Raise InvalidInput for a placeholder in a field whose texts take no values.

    `names` and `values` are those of `pieces_of`. So is `{%}` in the others, as the slot is known
    only to the run.
    """
    for name in ("cwd", "preflight", *TEXTS):
        for text in texts_of(spec, name):
            for place in pieces_of(text, names, values):
                if isinstance(place, Place):
                    _refuse(name, place)


def _refuse(name: str, place: Place) -> None:
    option = f"--{FIELDS[name].option.replace('_', '-')}"
    if name == "cwd":
        raise InvalidInput(
            f"the placeholder {place.word} in {option} would be a directory of this name",
            hint=f"change to it in the command: 'cd {place.word} && COMMAND'",
        )
    if name == "preflight":
        raise InvalidInput(
            f"the placeholder {place.word} in {option} is where a shell would read its value",
            hint=f'write "{variable_of(place)}" there',
        )
    if SLOT in place.names:
        raise InvalidInput(
            f"the placeholder {place.word} in {option} cannot be known before the job runs",
            hint=f"the command finds it as {variable_of(place)}",
        )
