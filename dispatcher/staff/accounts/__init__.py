"""Who may sit at the desk: accounts, sessions, second factors, tokens, and the proposals by which two admins change them.

`Accounts` (accounts.py) is what the doors ask. State stands in the ledger's records, so it outlives a restart, holds on every
node of a site, and each change has its event in the chain.

    names · roles          what a person may be called and be
    passwords · factors · passkeys        what a person proves it with: one door to each library
    register · sealing · sessions · tokens · throttle       what the ledger keeps of it
    acts · proposals       what takes two admins          own       what each does alone
    oidc                   the city's own directory, where there is one
    command · qr           `todoke user`
"""

from dispatcher.staff.accounts.accounts import Accounts
from dispatcher.staff.accounts.acts import FORMS, AdminAct
from dispatcher.staff.accounts.own import Enrolled, Enrolling
from dispatcher.staff.accounts.proposals import CarriedOut, Proposal, ProposalState
from dispatcher.staff.accounts.register import Listed, Passkey
from dispatcher.staff.accounts.roles import PEOPLES, Scope
from dispatcher.staff.accounts.sessions import Session
from dispatcher.staff.accounts.tokens import Bearer, Issued

__all__ = [
    "FORMS",
    "PEOPLES",
    "Accounts",
    "AdminAct",
    "Bearer",
    "CarriedOut",
    "Enrolled",
    "Enrolling",
    "Issued",
    "Listed",
    "Passkey",
    "Proposal",
    "ProposalState",
    "Scope",
    "Session",
]
