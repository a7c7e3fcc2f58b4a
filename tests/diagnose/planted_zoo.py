"""The zoo, with faults that the script plants itself (`faults`)."""

import faults  # noqa: F401 - beside this script, and first: it plants before the model runs
import zoo  # noqa: F401 - importing it runs the model
