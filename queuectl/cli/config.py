"""The settings of the fleet."""

from __future__ import annotations

import click

from queuectl.cli.completions import SettingKey, SettingValue
from queuectl.cli.root import Group, examples, json_option
from queuectl.cli.session import Session, pass_session
from queuectl.domain import settings as tunables
from queuectl.domain.errors import InvalidInput
from queuectl.presentation import tables
from queuectl.presentation.console import print_hint, print_line


class ConfigGroup(Group):
    """The group whose help lists every setting, from where they are declared."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the settings after the examples."""
        super().format_epilog(ctx, formatter)
        with formatter.section("Settings"):
            formatter.write_dl([(key, tunables.help_of(key)) for key in tunables.KEYS])

    def find(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str, click.Command, list[str]] | None:
        """Return the command; a setting alone is that which prints it. Raises InvalidInput."""
        found = super().find(ctx, args)
        word, sign, value = args[0].partition("=")
        if found is not None or not _is_setting(word):
            return found
        values = [value] if sign else args[1:2]
        if values and not values[0].startswith("--"):
            hint = f"queuectl config set {word} {values[0]}"
            raise InvalidInput(f"'{word}' is a setting", hint)
        return super().find(ctx, ["get", *args])


def _is_setting(word: str) -> bool:
    try:
        return bool(tunables.resolve_key(word))
    except InvalidInput:
        return False


@click.group(cls=ConfigGroup, alone="get", epilog="queuectl config set max-retries 5")
def config() -> None:
    """Settings, shared by every worker, in force without a restart."""


@examples("""
    queuectl config get
    queuectl config get max-retries
""")
@config.command("get")
@click.argument("key", required=False, type=SettingKey())
@json_option
@pass_session
def get_setting(session: Session, key: str | None, as_json: bool) -> None:
    """Print one value, or every key with its value."""
    name = tunables.resolve_key(key) if key is not None else None
    values = _values(session, name)
    if as_json:
        tables.write_json(values[name] if name else values)
    elif name:
        print_line(tunables.show(values[name]))
    else:
        for each, value in values.items():
            print_line(f"{each} = {tunables.show(value)}")


@config.command("show", epilog="queuectl config show")
@click.option("--json", is_flag=True, expose_value=False, help="As always: it is JSON.")
@pass_session
def show_settings(session: Session) -> None:
    """Print the settings as a JSON object."""
    tables.write_json(_values(session))


def _values(session: Session, name: str | None = None) -> dict[str, tunables.Value]:
    """Return the settings in force; say of those asked for which stored ones are not used."""
    stored = session.reading().store.settings.all()
    chosen = {key: raw for key, raw in stored.items() if name in (None, key)}
    for fault in tunables.faults(chosen):
        print_hint(fault)
    return tunables.as_dict(tunables.from_stored(stored))


@config.command(
    "set",
    # So that `config set max_retries -1` is told the bounds, not that there is no option -1.
    context_settings={"ignore_unknown_options": True},
    epilog="""
    queuectl config set timeout-seconds 15
    queuectl config set backoff_base 1.5
    """,
)
@click.argument("key", type=SettingKey())
@click.argument("value", required=False, type=SettingValue())
@pass_session
def set_setting(session: Session, key: str, value: str | None) -> None:
    """Change a setting; `-` and `_` are the same in its name, and KEY=VALUE may be one word."""
    if value is None:
        key, sign, value = key.partition("=")
        if not sign:
            raise InvalidInput(
                "missing argument 'VALUE'", hint="for example: queuectl config set max-retries 5"
            )
    tunables.parse_value(tunables.resolve_key(key), value)
    name, stored = session.queue().set_setting(key, value)
    print_line(f"{name} = {tunables.show(stored)}")


@config.command("unset", epilog="queuectl config unset backoff-cap")
@click.argument("key", type=SettingKey())
@pass_session
def unset_setting(session: Session, key: str) -> None:
    """Go back to a setting's default."""
    name, default = session.reading().unset_setting(key)
    if default is None:
        print_line(f"Removed setting '{name}'")
        return
    print_line(f"{name} = {tunables.show(default)}")
    session.hint("this is the default")
