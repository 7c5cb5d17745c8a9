"""The staff's side of a node: who may sign in, and the listener with the console, the API and what else programs reach.

Source: design.md §4, §9 (two listeners, never mounted in one).
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from config.site import Site
from dispatcher.intake.sources import post
from dispatcher.intake.taking import Intake, rules_of
from dispatcher.listening import host_and_port, listening
from dispatcher.model.mode import M
from dispatcher.operators import metrics
from dispatcher.path import Path
from dispatcher.staff import api, console
from dispatcher.staff.accounts import Accounts
from dispatcher.staff.accounts.oidc import Issuer
from dispatcher.staff.accounts.roles import Scope
from dispatcher.staff.console.live import LIVE
from dispatcher.staff.desk import Desk
from dispatcher.staff.sessions import Person


@asynccontextmanager
async def open_accounts(site: Site, path: Path[M]) -> AsyncIterator[Accounts]:
    """Who may sign in, with the city's own directory where the site names one."""
    people = [Person(p.name, tuple(p.roles), p.token_hash) for p in site.staff]
    async with AsyncExitStack() as stack:
        directory = await stack.enter_async_context(Issuer(site.directory, path.clock)) if site.directory else None
        yield Accounts(
            path.ledger,
            path.clock,
            path.mode.name,
            people,
            origin=site.control.origin,
            directory=directory,
            key=site.accounts_key,
        )


@asynccontextmanager
async def staff_listener(
    site: Site, path: Path[M], desk: Desk[M], accounts: Accounts
) -> AsyncIterator[tuple[metrics.Metrics, Intake[M]]]:
    """The staff's listener: the console, and beside it the API, the figures and where other systems post."""
    staff = console.application(desk, accounts, path, site.control.origin, mails_duty=site.duty is not None)
    rooms = api.Rooms(desk, accounts, path.ledger, path.clock, path.city)
    staff.add_subapp(api.PREFIX, api.application(rooms))
    figures = metrics.Metrics(
        path.ledger, path.clock, mode=path.mode.name, node=site.node, readers=lambda: staff[LIVE].readers
    )
    staff.add_subapp(metrics.PATH, metrics.application(figures, _measurers(accounts)))
    rules = rules_of(site.city, site.intake.policy, site.intake.oldest)
    intake = Intake(desk, path.ledger, path.clock, rules)
    if site.intake.post is not None:
        staff.add_subapp(post.PREFIX, post.application(intake, site.intake.post, accounts.bearer))
    async with listening(staff, *host_and_port(site.control.listen)):
        yield figures, intake


def _measurers(accounts: Accounts) -> metrics.Allow:
    """Whose token opens the figures."""

    async def allow(token: str) -> None:
        (await accounts.bearer(token)).require(Scope.METRICS)

    return allow
