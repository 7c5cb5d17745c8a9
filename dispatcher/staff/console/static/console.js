/* What the console does by script: nothing that it cannot do without. The clock, times that run, the alarm, passkeys, live parts. */
"use strict";
