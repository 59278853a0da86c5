"""The sizes from which an error matters, in one place, with their reasons.

The unit is a *point*: one percent of probability. Four points of coverage is the
difference between a 90 % interval and an 86 % one: a reader of the interval would not
act otherwise. Ten points turn a 90 % interval into an 80 % one: the number printed is
no longer what it says.
"""

import math


# Largest distance of a coverage curve or of a rank distribution from its ideal.
COVERAGE_WARN = 0.04
COVERAGE_FAIL = 0.10
# Too wide wastes data but claims nothing false: a reason for caution, never more.
TOO_WIDE_FAIL = math.inf

# Mean shift in posterior sds. 0.1 sd moves a median's rank by 4 points, 0.25 sd by 10
# (the normal distribution function at 0.1 and 0.25, minus one half).
SHIFT_WARN = 0.10
SHIFT_FAIL = 0.25

# Shifts that differ from x to x and cancel on average: rms over x, in posterior sds.
# Every trained network has some, and the rms counts all x at once; .25 sd costs .03
# nats of log score per parameter, the price of a few per cent fewer simulations.
LOCAL_WARN = 0.25
LOCAL_FAIL = 0.50

# Share by which intervals are wider than a regression on x shows to be possible. Data
# measured a fourth longer would make intervals a tenth narrower.
WASTE_WARN = 0.10

# Shares of test simulations that could not be used at all.
UNUSABLE_WARN = 0.0
UNUSABLE_FAIL = 0.01
FAILED_SIMULATIONS_WARN = 0.20
# Share of those like x_obs whose posterior lies outside the cut prior. Exact posteriors
# of one to three targets have up to 1 %.
OUT_OF_REACH_WARN = 0.05
