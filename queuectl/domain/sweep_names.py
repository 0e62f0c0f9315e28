"""The variables in which a job of a batch finds what makes it different from the others."""

from __future__ import annotations

from queuectl.domain.job_fields import Spec

INDEX = "index"
"""The parameter that `--array` gives its numbers to."""

INDEX_VARIABLE, NUMBER_VARIABLE = "QUEUECTL_INDEX", "QUEUECTL_BATCH_INDEX"
BATCH_VARIABLE, SLOT_VARIABLE = "QUEUECTL_BATCH", "QUEUECTL_SLOT"
VARIABLES_OF_BATCHES = (INDEX_VARIABLE, NUMBER_VARIABLE, BATCH_VARIABLE, SLOT_VARIABLE)
INDEX_ELSEWHERE = (
    "SLURM_ARRAY_TASK_ID", "PBS_ARRAYID", "PBS_ARRAY_INDEX", "SGE_TASK_ID", "LSB_JOBINDEX",
    "HQ_TASK_ID", "GFLOW_ARRAY_TASK_ID",
)  # fmt: skip
"""The variables in which jobs of other systems' arrays find their number, as do ours."""

PARAM = "QUEUECTL_PARAM_"
"""How the variables of parameters begin."""


def variable(name: str) -> str:
    """Return the variable in which a job finds a parameter."""
    return f"{PARAM}{name.upper().replace('-', '_')}"


def variables_of(spec: Spec) -> dict[str, str]:
    """Return the variables of a job of a batch, but for its slot.

    The index is the number of `--array`, or else that of the job in its batch.
    """
    params = dict(spec.params)
    found = {variable(name): value for name, value in spec.params}
    if spec.batch:
        found[BATCH_VARIABLE] = spec.batch
    if spec.batch_index:
        found[NUMBER_VARIABLE] = str(spec.batch_index)
        found[INDEX_VARIABLE] = params.get(INDEX, str(spec.batch_index))
    if INDEX in params:
        own = dict(spec.env)
        found |= {name: params[INDEX] for name in INDEX_ELSEWHERE if name not in own}
    return found
