"""Problems in continuous time with published or analytic optima."""

from tests.zoo.known import KnownProblem as KnownProblem
from tests.zoo.zoo import NAMES as NAMES
from tests.zoo.zoo import SCORE_NAMES as SCORE_NAMES
from tests.zoo.zoo import ZOO as ZOO
from tests.zoo.zoo import known as known
