"""The words of programs that share out GPUs and clusters, as rows of the table of habits. Pure.

tsp's letters, and options of pueue, gflow, HyperQueue, simple_gpu_scheduler and Slurm.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """What somebody types, and what it stands for: `ours`, or else what is said of it.

    `typed` is what stands after `queuectl`; its last word may be an option, and its first one
    several commands with `|` between them. What follows it on the line follows `ours` too. `hint`
    says what to type instead, where a name in braces is what follows, or stands for itself;
    `says` is why, where it is more than that there is no such word.
    """

    typed: str
    ours: str = ""
    hint: str = ""
    says: str = ""


ENQUEUE = "enqueue|run|add"
_RUN = "queuectl run -- COMMAND waits for it and shows what it prints"
_OUTPUT = "queuectl logs ID shows what it printed; 'COMMAND > FILE' puts that into a file"
_ASIDE = "--need cpu=N sets processors aside for it, --cpus N lets it use no more"
_PARENTS = "--after ID, --after-any ID or --after-fail ID, once for each job"

_OF_TSP = (
    ("-G", "queuectl add --gpus {N} COMMAND"),
    ("-g", "queuectl worker start --resource gpu={LIST} says which GPUs there are"),
    ("-L", "queuectl add --label {LABEL} COMMAND"),
    ("-D", "queuectl add --after-any {ID} COMMAND"),
    ("-W", "queuectl add --after {ID} COMMAND"),
    ("-d", "queuectl add --after ID COMMAND"),
    ("-f", "queuectl run -- {COMMAND}"),
    ("-n", "queuectl add COMMAND; 'COMMAND > /dev/null' keeps no output"),
    ("-N", "queuectl add --slots {N} COMMAND"),
    ("-m", "queuectl hook add NAME --mail ADDRESS tells of ends"),
    ("-w", "queuectl wait {ID}"),
    ("-t", "queuectl logs -f {ID}"),
    ("-s", "queuectl show {ID}"),
    ("-i", "queuectl show {ID}"),
    ("-o", "queuectl logs {ID}"),
    ("-p", "queuectl show {ID}"),
    ("-k", "queuectl cancel {ID}"),
    ("-r", "queuectl delete {ID}"),
    ("-u", "queuectl jobs move {ID} --first"),
    ("-U", "queuectl switch ID ID"),
    ("-C", "queuectl clean"),
    ("-K", "queuectl worker stop stops the workers"),
    ("--gpus", "queuectl enqueue --lines - --gpus 1, and worker start --resource gpu={LIST}"),
    (
        "--set_gpu_free_perc",
        "queuectl add --gpu-memory 10G COMMAND awaits so much of one",
    ),
)
"""What stands in the place of a command, at the top, and the line that does it here."""

SCHEDULER_ROWS = (
    *(Row(typed, hint=hint) for typed, hint in _OF_TSP),
    Row("fq", hint="queuectl logs -f {ID}"),
    Row("nq", hint="queuectl add COMMAND"),
    Row("srun", "run"),
    Row("sacct", "list --newest"),
    Row("sbatch -p", "enqueue --queue"),
    Row("job progress", hint="queuectl wait {ID}, or queuectl batch wait {NAME}"),
    Row("task list", hint="queuectl list --batch {NAME}"),
    Row("server start", hint="queuectl worker start; no server is needed"),
    Row("alloc", hint="queuectl worker start on each machine, with one MongoDB as --store"),
    Row("env set", hint="queuectl set {ID} env.NAME=VALUE"),
    Row("status -j", "--json"),
    Row("list -j", "--json"),
    Row("logs --json", hint="queuectl show {ID} --json has the output too"),
    Row("list -u", says="jobs have no user here", hint="queuectl list --label NAME"),
    Row("wait --quiet", says="wait is quiet where it writes to no terminal",
        hint="queuectl wait {ID} 2> /dev/null"),
    Row("wait --status", hint="queuectl wait ID waits for its end, list --state says how it is"),
    Row("worker start --cpus", hint="queuectl worker start -j {N}, or --resource cpu={N}"),
    *(
        Row(f"{ENQUEUE} {typed}", ours)
        for typed, ours in (
            ("--print-task-id", "--print-id"), ("--parsable", "--print-id"), ("-s", "--hold"),
            ("-L", "--label"), ("-N", "--slots"), ("--project", "--label"), ("-J", "--id"),
            ("--job-name", "--id"), ("--partition", "--queue"), ("--wrap", "--command"),
            ("--max-concurrent", "--at-once"), ("--from-json", "--param-file"),
        )
    ),
    *(
        Row(f"{ENQUEUE} {typed}", hint=hint)
        for typed, hint in (
            ("--escape", "leave it out: what stands behind add or -- is kept as it is"),
            ("--each-line", "queuectl add COMMAND :::: {FILE}"),
            ("--follow", _RUN), ("--wait", _RUN), ("--progress", "queuectl wait --batch NAME"),
            ("--dependency", _PARENTS), ("-D", _PARENTS), ("-W", _PARENTS),
            ("--time", "--timeout 2h, or in seconds"), ("--time-limit", "--timeout 2h"),
            ("--time-request", "--between HOURS says when it may start"),
            ("--shared", "leave it out: --gpu-memory 10G shares a GPU, --gpus 1 does not"),
            ("--conda-env", "conda run -n {NAME} COMMAND"), ("--pin", _ASIDE),
            ("--cpus-per-task", _ASIDE), ("-c", _ASIDE), ("--gpus-per-node", "--gpus N"),
            ("--crash-limit", "queuectl config set max_interruptions {N}"),
            ("--export", "--capture-env takes the environment along, --env NAME=VALUE sets one"),
            ("--stdout", _OUTPUT), ("--stderr", _OUTPUT), ("--output", _OUTPUT),
            ("--error", _OUTPUT), ("-o", _OUTPUT), ("-E", _OUTPUT), ("-n", _OUTPUT),
            ("-m", "queuectl hook add NAME --mail ADDRESS tells of ends"),
            ("-i", "queuectl {COMMAND} --priority high goes first"),
        )
    ),
)  # fmt: skip
