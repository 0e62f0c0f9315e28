"""A value in a line for the shell is one word there, or the placeholder is refused."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from queuectl.domain.errors import InvalidInput
from tests.domain.sweeps import axis, sweep

SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]
"""What /bin/sh is on one system or another."""

REFUSED = {
    'echo "{p}"': "inside quotes",
    "echo '{p}'": "inside quotes",
    "echo 'a'\"b {p}\"": "inside quotes",
    'echo "$(echo "{p}")"': "inside quotes",
    'echo "${x}{p}"': "inside quotes",
    r'echo "\"{p}"': "inside quotes",
    "echo `echo {p}`": "backquotes",
    'echo "`echo {p}`"': "backquotes",
    "echo $'a' {p}": "$'…'",
    "echo $'{p}'": "$'…'",
    r"echo \{p}": "behind a backslash",
    "echo # {p}": "in a comment",
    "echo \\\n# it's '{p}'": "in a comment",
    "echo $(true # {p}\n)": "a comment in parentheses",
    "cat <<E\n{p}\nE": "<<",
    "cat <<'E'\n{p}\nE": "<<",
    "cat {p} <<E\nE": "<<",
    "cat <<< {p}": "<<",
    "echo ${x:-{p}}": "${…}",
    "echo ${x:-'a'} {p}": "${…}",
    "echo $((1 + {p}))": "in a calculation",
    "echo $(( (1) + {p} ))": "in a calculation",
    "(( {p} ))": "in a calculation",
    "a[{p}]=1": "in a calculation",
    "echo $[{p}]": "$[…]",
    "[[ {p} -eq 1 ]]": "`[[`",
    "eval echo {p}": "`eval`",
    "true; eval {p}": "`eval`",
    "\\eval {p}": "`eval`",
    "ev'al' {p}": "`eval`",
    "ev\\\nal {p}": "`eval`",
    "trap {p} EXIT": "`trap`",
    "test -v {p}": "the name of a variable",
    "[ -v {p} ]": "the name of a variable",
    "printf -v {p} x": "the name of a variable",
    "read {p}": "the name of a variable",
    "unset {p}": "the name of a variable",
    "sh -c {p}": "given with -c",
    "'sh' -c {p}": "given with -c",
    "s\\h '-c' {p}": "given with -c",
    '"$SHELL" -c {p}': "given with -c",
    "read $(echo x) {p}": "the name of a variable",
    "bash -euo pipefail -c {p}": "given with -c",
    "sudo /bin/bash -xec 'echo '{p}": "given with -c",
    'echo "$(case x in x) echo "{p}";; esac)"': "`case`",
    "echo 'a {p}": "quotes",
    'echo {p} "a': "quotes that do not end",
}

TAKEN = {
    "printf '%s\\n' {p}": "{0}",
    "printf '%s\\n' a{p}b": "a{0}b",
    "printf '%s\\n' {p}{p}": "{0}{0}",
    "printf '%s\\n' \"a \"{p}' b'": "a {0} b",
    "printf '%s\\n' \"$(printf %s. {p})\"": "{0}.",
    "printf '%s\\n' \"it's \"{p}": "it's {0}",
    "printf '%s\\n' $((1 + 2)){p}": "3{0}",
    "printf '%s\\n' ${HOME##*}{p}": "{0}",
    "printf '%s\\n' {{p}} ${p} {p}": None,
    "x={p}; printf '%s\\n' \"$x\"": "{0}",
    "for x in {p}; do printf '%s\\n' \"$x\"; done": "{0}",
    "case {p} in *) printf '%s\\n' {p};; esac": "{0}",
    "f() { printf '%s\\n' \"$1\"; }; f {p}": "{0}",
    "if true; then printf '%s\\n' {p}; fi # it's {{p}}": "{0}",
    "(printf '%s\\n' {p})": "{0}",
    "printf '%s\\n' {p}>&1": "{0}",
    "printf '%s\\n' {p}|cat": "{0}",
    "printf '%s\\n' --lr={p}": "--lr={0}",
    "printf '%s\\n' \\\n {p}": "{0}",
    "bash -n /dev/null; tar -c {p} >/dev/null 2>&1; printf '%s\\n' {p}": "{0}",
    "echo | while read x; do printf '%s\\n' {p}; done": "{0}",
    "true {p} && printf '%s\\n' {p}": "{0}",
    "awk 'BEGIN {print ARGV[1]}' {p}": "{0}",
    "printf '%s\\n' $#{p}": "0{0}",
    "printf '%s\\n' x~{p}": "x~{0}",
    "printf '%s\\n' @{p},{p}": "@{0},{0}",
}
"""Lines that are taken, and what they print for a value."""

EVIL = [
    "", " ", "a b", "*", "~", "~root", "-n", "2", "if", "x=1", "#", "# a", "!", "\\", "a\\", "'",
    '"', "''", "$HOME", "$(echo no)", "`echo no`", "a\nb", "\n", "; echo no", "&", "|", ">f", "(",
    "{a,b}", "{p}", "{%}", "${x}", "a'b\"c", "é😀", "\t", "\r", "a[$(echo no >&2)]", "!!", "%1",
]  # fmt: skip
values = st.one_of(
    st.sampled_from(EVIL),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
    st.text("'\"\\$`(){}[];&|<>#~*?! \n\tab=", max_size=12),
)
quick = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("line", REFUSED)
def test_a_placeholder_whose_value_a_shell_would_read_is_refused(line: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        sweep(line, axis("p", "1"))
    assert REFUSED[line] in str(refused.value)
    assert '"$QUEUECTL_PARAM_P"' in refused.value.hint
    assert "--" in refused.value.hint


@pytest.mark.parametrize("line", [line for line, printed in TAKEN.items() if printed is None])
def test_what_is_no_placeholder_is_no_reason_to_refuse_the_others(line: str) -> None:
    assert sweep(line, axis("p", "1")).at(1).command == line[: -len("{p}")] + "1"


@pytest.mark.parametrize("shell", SHELLS)
@given(some=st.lists(values, min_size=1, max_size=6))
@quick
def test_every_value_reaches_the_program_as_it_is(
    shell: str, some: list[str], tmp_path: Path
) -> None:
    lines: list[str] = []
    wanted: list[str] = []
    for line, printed in TAKEN.items():
        if printed is None or ("awk" in line and shell == "busybox"):
            continue
        for value, member in zip(some, sweep(line, axis("p", *some)).members(), strict=True):
            if "awk" in line and not value.isalnum():
                continue  # awk reads backslashes in its arguments
            assert isinstance(member.command, str)
            lines += [member.command, "printf '\\0'"]
            wanted.append(printed.replace("{0}", value))
    command = [shell, "sh"] if shell == "busybox" else [shell]
    ended = subprocess.run(
        command, input="\n".join(lines).encode(), capture_output=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert ended.stderr == b""
    assert [each.decode() for each in ended.stdout.split(b"\0")] == [
        *(f"{w}\n" for w in wanted),
        "",
    ]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("line", "value", "becomes"),
    [
        ("job --lr {p}", "0.1", "job --lr 0.1"),
        ("job {p}.log", "a/b", "job a/b.log"),
        ("job {p}", "a b", "job 'a b'"),
        ("job {p}>f", "2", "job '2'>f"),
        ("{p} x", "if", "'if' x"),
        ("a=1 {p}", "if", "a=1 'if'"),
        ("job ~{p}", "root", "job ~'root'"),
        ("job $x{p}", "y", "job $x'y'"),
        ("job {p}", "a=b", "job 'a=b'"),
        ("job {p}", "it's", "job 'it'\"'\"'s'"),
        ("x=$(date) {p}", "if", "x=$(date) 'if'"),
    ],
)
def test_a_plain_value_has_no_quotes_where_it_needs_none(
    line: str, value: str, becomes: str
) -> None:
    assert sweep(line, axis("p", value)).at(1).command == becomes


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (("sh", "-c", "echo {p}"), "in the line that sh reads"),
        (("nice", "/bin/bash", "-e", "-lc", "{p}"), "in the line that /bin/bash reads"),
        (("bash", "-euo", "pipefail", "-c", "x {p}"), "in the line that bash reads"),
        (("sh", "-c", "-e", "x {p}"), "in the line that sh reads"),
        (("su", "-c", "echo {p}", "me"), "in the line that su reads"),
        (("su", "me", "--command=echo {p}"), "in the line that su reads"),
    ],
)
def test_arguments_take_any_value_but_in_a_line_that_is_for_a_shell(
    arguments: tuple[str, ...], where: str
) -> None:
    with pytest.raises(InvalidInput, match=where):
        sweep(arguments, axis("p", "1"))
    assert sweep(("sh", "-c", 'echo "$1"', "sh", "{p}"), axis("p", "1")).at(1).command[-1] == "1"
    assert sweep(("sh", "job.sh", "-c", "{p}"), axis("p", "1")).at(1).command[-1] == "1"
    assert sweep(("tar", "-c", "{p}"), axis("p", "1")).at(1).command[-1] == "1"


@given(value=st.sampled_from(EVIL) | values, other=values)
def test_every_argument_is_the_value_itself(value: str, other: str) -> None:
    made = sweep(("job", "{a}", "x{b}", "{a}{b}"), axis("a", value), axis("b", other))
    assert made.at(1).command == ("job", value, f"x{other}", f"{value}{other}")
