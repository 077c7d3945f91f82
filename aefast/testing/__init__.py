"""Cases, tolerances and comparison for everything that claims to do an op: `check(ops, case, dtype)`.

for variant in testing.variants("linear_act"):
    for case in testing.for_op("linear_act", variant):
        assert (verdict := testing.check(my_ops, case, "float32")), verdict.failures
"""

from aefast.testing.bounded import Bounded as Bounded
from aefast.testing.cases import Case as Case
from aefast.testing.cases import for_op as for_op
from aefast.testing.cases import ops as ops
from aefast.testing.cases import variants as variants
from aefast.testing.compare import Verdict as Verdict
from aefast.testing.compare import check as check
from aefast.testing.targets import Target as Target
from aefast.testing.targets import targets as targets
