"""`python -m multicast send …`: the verbs of `todoke multicast` on a machine that needs nothing else of it."""

import sys

from multicast.command import main

sys.exit(main())
