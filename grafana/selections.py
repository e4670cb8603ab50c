"""What the reader chose, as label matchers: Grafana fills the variables in.

Only what counts builds, and what tells of builders, has the label `builder`. Steps and images know their project, and
all but the histogram of steps their target.
"""

BUILDER = 'builder=~"$builder"'

TARGETS = 'project=~"$project",target=~"$target"'
BUILDS = f"{BUILDER},{TARGETS}"

ONE_PROJECT = 'project="$project"'
"""Of one project, compared as text: where only one value can be chosen, Grafana does not write it as a pattern."""

TARGETS_OF_ONE = f'{ONE_PROJECT},target=~"$target"'
BUILDS_OF_ONE = f"{BUILDER},{TARGETS_OF_ONE}"

AGENT = 'instance=~"$instance"'
BUILDER_OF_AGENT = f"{AGENT},{BUILDER}"
PROJECT_OF_AGENT = f'{AGENT},project=~"$project"'
LOST_BY_THE_CACHE = f'{PROJECT_OF_AGENT},cause=~"evicted|cold_builder"'
"""Misses whose inputs were the same: a cache that kept its records, or that all builders share, would have hit."""
