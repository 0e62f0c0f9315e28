"""What people do with hooks, one short method each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from queuectl.domain import hooks as rules
from queuectl.domain import settings as tunables
from queuectl.domain.errors import Conflict, InvalidInput
from queuectl.domain.field_checks import check_command, check_labels, check_name, check_text
from queuectl.domain.frozen import replace
from queuectl.domain.hook_messages import of_test
from queuectl.domain.hooks import DELIVERY_SLOTS, QUEUE_EMPTY, Hook, Target, parse_threshold
from queuectl.domain.job import State
from queuectl.domain.query import Filter, Page
from queuectl.domain.queue_limits import DELIVERY_QUEUE, OPEN, delivery_queue, is_of_deliveries
from queuectl.domain.request import require_allowed
from queuectl.domain.text import counted
from queuectl.hooks import DeliveryError
from queuectl.queue.digests import forget_all
from queuectl.queue.named import NamedRecords
from queuectl.queue.outpaced import retry_on_conflict
from queuectl.stores.rules import require_in_use
from queuectl.system.ids import new_token

if TYPE_CHECKING:
    from queuectl.domain.job import Job
    from queuectl.domain.query import Counts
    from queuectl.domain.settings import Settings

_LONGEST_SECRET = 4096
_LIMITED = "hooks_limited"
"""The mark of a store whose deliveries have been limited once: then it is people's to decide."""


class Hooks(NamedRecords[Hook]):
    """The hooks of a store."""

    KIND = "hook"
    HINT = "queuectl hook list shows the hooks there are"

    @retry_on_conflict
    def add(self, hook: Hook, *, replacing: bool = False) -> Hook:
        """Store a hook (its `created_at` is set here) and limit its queue of deliveries.

        Raises InvalidInput, or Conflict when there is one of the name that is not to be replaced.
        """
        require_in_use(self._store)
        after = checked(replace(hook, created_at=self._store.now()), self._settings())
        self._limit_deliveries(after)
        before = self._find(after.name)
        if before is not None:
            if not replacing:
                raise Conflict(f"hook '{after.name}' exists already (--replace replaces it)")
            after = replace(  # it goes on where that one stood, so that nothing is left out
                after,
                created_at=before.created_at,
                changes=before.changes,
                told=before.changes,
                rev=before.rev + 1,
            )
        saved = self._saved(after, before)
        self._note("replace" if before else "add", after.name)
        return saved

    def _limit_deliveries(self, hook: Hook) -> None:
        """Let only a few deliveries of a hook run at once, unless somebody has said otherwise.

        A digest tells all that there is, so two of a hook would tell the same.
        """
        queue_limits = self._store.queue_limits()
        if self._store.meta.get(_LIMITED) is None:
            if DELIVERY_QUEUE not in queue_limits:
                self._store.set_queue_limit(DELIVERY_QUEUE, limit=DELIVERY_SLOTS)
                queue_limits = self._store.queue_limits()
            self._store.meta.set(_LIMITED, "yes")
        said = queue_limits.get(DELIVERY_QUEUE, OPEN)
        limit = 1 if hook.digest else said.limit
        self._store.set_queue_limit(delivery_queue(hook.name), paused=said.paused, limit=limit)

    def decide(self, *, paused: bool | None = None, limit: int | None = None) -> None:
        """Pause or resume all deliveries, or limit those of each hook; None leaves it as it is.

        Those of a hook that is gone may still wait, in a queue that was paused with all others.
        """
        hooks = self._store.hooks.all()
        queues = {delivery_queue(hook.name) for hook in hooks}
        alone = {delivery_queue(hook.name) for hook in hooks if hook.digest}
        for queue in queues.union(filter(is_of_deliveries, self._store.queue_limits())):
            wanted = None if queue in alone else limit
            self._store.set_queue_limit(queue, paused=paused, limit=wanted)

    def all(self) -> list[Hook]:
        """Return every hook, by name."""
        return self._store.hooks.all()

    def _find(self, name: str) -> Hook | None:
        return next((hook for hook in self._store.hooks.all() if hook.name == name), None)

    def _save(self, after: Hook, before: Hook | None) -> bool:
        return self._store.hooks.save(after, before)

    def remove(self, name: str) -> None:
        """Forget a hook; its deliveries that still wait fail then. Raises NotFound."""
        self.get(name)
        self._store.hooks.remove(name)
        forget_all(self._store, name)
        self._store.set_queue_limit(delivery_queue(name), paused=False, limit=0)
        self._note("remove", name)

    def pause(self, name: str) -> Hook:
        """Tell nothing more until the hook is resumed. Raises NothingDone when it is paused."""
        paused = self._change(name, rules.pause)
        self._note("pause", name)
        return paused

    def resume(self, name: str) -> Hook:
        """Tell again what happens from now on. Raises NothingDone when it is not paused."""
        resumed = self._change(name, rules.resume)
        self._note("resume", name)
        return resumed

    def deliveries(self, name: str, number: int, *, with_output: bool = False) -> Iterator[Job]:
        """Yield the jobs of a hook's latest deliveries, the newest first.

        Without what waits to be told in a digest.
        """
        chosen = Filter(queue=delivery_queue(name), id_prefix=rules.deliveries_of(name))
        found = self._store.find(chosen, Page(newest_first=True, with_output=with_output))
        return islice((job for job in found if not job.paused), number)

    def faults(self) -> list[str]:
        """Return one line for each hook that cannot do its work, or whose deliveries are dead."""
        settings, found = self._settings(), []
        hooks = self._store.hooks.all()
        for hook in hooks:
            try:
                checked(hook, settings)
            except InvalidInput as fault:
                found.append(f"hook '{hook.name}': {fault}")
        dead = self._counts().of(State.DEAD)
        if hooks and dead:
            said = (
                f"{counted(dead, 'event')} not delivered; queuectl list --deliveries --state dead"
            )
            found.append(said)
        return found

    def have_unbegun(self) -> bool:
        """Whether there are deliveries due that nobody has tried yet, or that run just now."""
        is_due = self._store.has_ready_deliveries(untried=True)
        return is_due or bool(self._counts().of(State.PROCESSING))

    def _counts(self) -> Counts:
        return self._store.counts().only(deliveries=True)

    def are_stranded(self) -> bool:
        """Whether there are deliveries to be made now and no worker that will make them."""
        from queuectl.system.processes import is_live

        while self._store.make_due_claimable():
            self._store.between()
        if not self._store.has_ready_deliveries():
            return False
        now = self._store.now()
        return not any(
            is_live(worker, now) and worker.takes_from(DELIVERY_QUEUE)
            for worker in self._store.workers.all()
        )

    def test(self, name: str) -> str:
        """Deliver a made-up event at once, in this process; return what is to be said of it.

        Raises `DeliveryError`.
        """
        from queuectl.hooks import webhook

        hook = self.get(name)
        self._note("test", name)
        if hook.target is Target.COMMAND:
            try:
                require_allowed(hook.address, self._settings())
            except InvalidInput as fault:
                raise DeliveryError(str(fault), is_final=True) from None
        return webhook.deliver(hook, of_test(self._store.now()), f"test:{new_token()}")

    def _settings(self) -> Settings:
        return tunables.from_stored(self._store.settings.all())


def checked(hook: Hook, settings: Settings) -> Hook:
    """Return a hook that can do what it says. Raises InvalidInput for the first thing wrong."""
    rules.check_hook_name(hook.name)
    if bool(hook.events) == bool(hook.when):
        raise InvalidInput(
            "a hook is told of events (--on) or of a threshold (--when), one of the two",
            hint="queuectl hook add --help has examples",
        )
    if hook.digest and hook.when:
        raise InvalidInput("--digest goes with events (--on): a threshold is told once as it is")
    if hook.queue is not None:
        check_name("queue", hook.queue)
    if hook.labels and (hook.when or QUEUE_EMPTY in hook.events):
        raise InvalidInput(f"labels do not go with {'a threshold' if hook.when else QUEUE_EMPTY}")
    hook = replace(
        hook,
        labels=check_labels("labels", hook.labels),
        when=str(parse_threshold(hook.when)) if hook.when else "",
    )
    secret = check_text("secret", hook.secret).rstrip("\r\n") if hook.secret is not None else None
    if secret is not None and not 0 < len(secret) <= _LONGEST_SECRET:
        raise InvalidInput(f"a secret has 1 to {_LONGEST_SECRET:,} characters")
    hook = replace(hook, secret=secret)
    if hook.target is Target.MAIL:
        return _checked_mail(hook)
    if hook.smtp or hook.sender:
        raise InvalidInput("--smtp and --from go with --mail only")
    if hook.target is Target.SERVICE:
        return _checked_service(hook)
    if hook.target is Target.WEBHOOK:
        from queuectl.hooks.webhook import check_url

        return replace(hook, address=check_url(hook.address))
    if hook.secret is not None:
        raise InvalidInput("a secret does not go with a command: nothing is signed")
    check_command("command", hook.address)
    require_allowed(hook.address, settings)
    return hook


def _checked_service(hook: Hook) -> Hook:
    from queuectl.hooks.service import check_service_url

    if hook.secret is not None:
        raise InvalidInput(
            "a secret goes with webhooks and mail: that of a service is in its URL",
            hint="--url-file keeps it out of the list of processes",
        )
    return replace(hook, address=check_service_url(hook.address))


def _checked_mail(hook: Hook) -> Hook:
    from queuectl.hooks.email import check_addresses, parse_server

    if not hook.smtp:
        raise InvalidInput(
            "mail needs a server: --smtp smtp://USER@HOST:PORT", "its password: --secret-file FILE"
        )
    has_user = bool(parse_server(hook.smtp).user)
    if has_user != (hook.secret is not None):
        raise InvalidInput(
            "a user of the mail server and a password go together",
            hint="--smtp smtp://USER@HOST:PORT, and --secret-file or --secret-env",
        )
    sender = check_addresses(hook.sender) if hook.sender else ""
    return replace(hook, address=check_addresses(hook.address), sender=sender)
