#!/bin/sh
# The same on a GPU: one environment that is there (PYTHON), as it is and with a setting or variable
# of yours. By default, torch's linear layers take another kernel; '' runs the same twice.
#
#   PYTHON=/path/to/venv ./gpu.sh
#   PYTHON=/path/to/venv ./gpu.sh sdpa=math
here=$(dirname "$0")
one="python=${PYTHON:?the folder of an environment, see README.md} EXTENSIONS=extensions/gpu"
other=DISABLE_ADDMM_CUDA_LT=1
case ${1--} in
    -*) ;;
    *) other=$1; shift ;;
esac
. "$here/watched.sh"
exec forkpoint compare --env plain="$one" --env other="$one $other" \
    --out forkpoint-results/gpu "$@" "$here/index_and_search.py"
