"""Metered: a node whose every byte and every wake-up costs, such as a phone, and how it takes part.

It says so in its introductions, and then others leave it alone: they answer it, and neither walk to it nor
introduce, nudge or ping it. It comes by itself, at most every METERED_STEP_S while all is in sync, and
hears of what is new then. So that it need not look for neighbours anew each time, it remembers those it has
for long, and it asks nobody to announce new messages. What it has published itself it tells at once, to one
or two.
"""

from __future__ import annotations

METERED_STEP_S = 120.0
"""Between steps, and ticks, of a metered node in sync: 30 an hour, of some 550 bytes each."""
METERED_UNSETTLED_STEP_S = 20.0
"""Between steps while there may be news."""
METERED_LIFETIME_SCALE = 40.0
"""By so much longer a metered node takes others for neighbours, whom it visits so much more seldom."""
METERED_PEERS_MAX = 16
METERED_NUDGED_MAX = 2
METERED_PULL_BUDGET_MAX = 16
"""Datagrams that one request of a metered node asks for."""
