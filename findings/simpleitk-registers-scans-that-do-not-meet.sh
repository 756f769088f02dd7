#!/usr/bin/env bash
# Two scans that do not overlap: of SimpleITK's four image metrics one raises an error, three return as if registered.
#
# ImageRegistrationMethod.Execute of SimpleITK 2.5.7 (ITK 5.4) with Mattes' mutual information says that all samples map
# outside. With mean squares, correlation or joint-histogram mutual information it prints warnings to standard error and
# returns the initial transform; the stop condition reads "Gradient magnitude tolerance met after 0 iterations", which is
# what a perfect start reads like. Only the metric value, the largest double, tells. So whoever registers by one of the
# three has to ask GetMetricValue() or the overlap.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env 2>/dev/null || python3 -m virtualenv -q env
env/bin/pip install -q --disable-pip-version-check SimpleITK==2.5.7 numpy==2.4.6
cat > look.py <<'PY'
import sys

import numpy as np
import SimpleITK as sitk

fixed = sitk.GetImageFromArray(np.random.default_rng(0).normal(size=(20, 20, 20)).astype(np.float32))
moving = sitk.Image(fixed)
moving.SetOrigin((500.0, 0.0, 0.0))
raised = []
for metric in ("MeanSquares", "Correlation", "JointHistogramMutualInformation", "MattesMutualInformation"):
    method = sitk.ImageRegistrationMethod()
    getattr(method, "SetMetricAs" + metric)()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetInitialTransform(sitk.TranslationTransform(3), inPlace=False)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 0.01, 50)
    try:
        method.Execute(fixed, moving)
    except RuntimeError as error:
        raised.append(metric)
        print(f"{metric}: raised, {str(error).splitlines()[-1].split(': ', 1)[-1][:60]} ...")
        continue
    stopped = method.GetOptimizerStopConditionDescription()
    print(f"{metric}: returned, value {method.GetMetricValue():g}, {stopped.split(': ', 1)[-1].split('. ')[0]}")
    assert method.GetMetricValue() == sys.float_info.max and "after 0 iterations" in stopped, "SimpleITK changed"
assert raised == ["MattesMutualInformation"], "SimpleITK changed"
print("As described.")
PY
env/bin/python look.py 2>/dev/null
