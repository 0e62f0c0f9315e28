"""The first line of each command's help, so that `queuectl --help` need not load the commands.

They are the commands' own words: a test compares them.
"""

SUMMARIES = {
    "init": "Make `.queuectl` here (or the home that is named) and its store.",
    "enqueue": "Store jobs: a command, JSON, or a file of jobs.",
    "run": "Enqueue one job, follow its output, and end with its exit code.",
    "status": "Count the jobs in each state, and show the workers that are alive.",
    "list": "List jobs in order of arrival, dead ones included.",
    "show": "Show everything about one job, with every attempt.",
    "logs": "Show the output of jobs; of several, each line begins with its job's id.",
    "wait": "Wait until jobs are completed, dead or cancelled.",
    "watch": "Watch counts, workers and jobs live; read logs, cancel, retry and delete.",
    "dashboard": "Serve the queue as a web page, with a JSON API and live figures.",
    "stats": "Tell how much succeeded, how long runs took and waited, and how many there were.",
    "metrics": "Print metrics in the text format of Prometheus, or serve them over HTTP.",
    "cancel": "Cancel jobs: at once when they wait, else their worker stops them.",
    "retry": "Start settled or failed jobs afresh, dead or not.",
    "delete": "Delete jobs that do not run, with their logs.",
    "edit": "Change jobs that wait in $VISUAL or $EDITOR: all of them, or none on an error.",
    "set": "Change fields of a job that waits: all that are named, or none on an error.",
    "move": "Move jobs to the head of their queue, or to its end.",
    "pause": "Pause jobs: one that waits is held back, one that runs stands still.",
    "resume": "Let paused jobs go on.",
    "purge": "Delete settled jobs that nobody needs any more, with their logs.",
    "export": "Write jobs, settings, queues and schedules as JSON lines.",
    "import": "Read what `export` wrote into this store.",
    "migrate": "Move a whole store to another, and compare the two at the end.",
    "jobs": "The commands on jobs, also under this name.",
    "queue": "Queues: list, pause, resume and limit them.",
    "dlq": "The dead letter queue: look at its jobs, retry or purge them.",
    "schedule": "Jobs that are enqueued again and again, as cron would start them.",
    "hook": "Who is told when jobs end, a queue is empty, or a threshold is crossed.",
    "worker": "The processes that run jobs.",
    "config": "Settings, shared by every worker, in force without a restart.",
    "doctor": "Look over home, permissions, store, clock, PID file and workers.",
    "shell": "Open the prompt, or run a file of commands, one a line.",
    "completion": "Print a script that lets bash, zsh or fish complete commands, options "
    "and live job ids.",
    "help": "Show the help of a command.",
}
