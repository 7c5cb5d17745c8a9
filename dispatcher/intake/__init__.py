"""What other services send (a JMA telegram, a CAP alert) on its way to being a draft that staff decide about.

    bytes ──read────▶ Telegram    jma.py, partner.py (CAP): hostile bytes in, one frozen noun out (telegram.py)
          ──concern─▶ Concern     places.py: what of it is about this city, and which quarters
          ──decide──▶ Decision    decide.py, order.py: pure; the tables and the policy are data (config/intake/)
          ──take────▶ a draft     taking.py: the order of an event (upstream.py), the desk (drafting.py, wording.py)

Where telegrams come from stands in sources/: a folder, a feed, a POST. `replay.py` is the same path without a node.

Nothing that came in this way goes out without a person, unless a named policy says so for exactly that kind.

Source: design.md §7; 気象庁防災情報XMLフォーマット 運用指針; OASIS CAP 1.2.
"""
