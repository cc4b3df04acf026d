# ./run wheel: wheels that need nothing of the machine they are installed on, in dist/, one for each
# CPython that is at hand. docs/packaging.md says what is in them.

# What is linked in are archives of the system's or built from these source packages of it: of those it
# has no archive, none for shared libraries, or one of more than a log shipper needs.
wheel_packages=(libzstd-dev libdeflate-dev libsqlite3-dev perl dpkg-dev)
wheel_sources=(openssl nghttp2 curl simdjson prometheus-cpp)
# Where a system has no archives at all, these are built as well (./run wheel --sources).
more_wheel_sources=(libzstd libdeflate sqlite3 cli11)

wheel_tools=build/wheel/tools
wheel_libraries=build/wheel/libraries

run_wheel() {
  local interpreter chosen wanted=() test=0 reproduce=0 sources_only=0 status=0
  while (($#)); do
    case $1 in
      --python)
        shift
        while (($#)) && [[ $1 != --* ]]; do wanted+=("$1") && shift; done
        ((${#wanted[@]})) || die "--python needs versions, as 3.11, or paths of interpreters"
        ;;
      --test) test=1 && shift ;;
      --reproduce) reproduce=1 && shift ;;
      --sources) sources_only=1 && shift ;;
      *) die "wheel knows no '$1'; ./run help lists what it takes" ;;
    esac
  done
  if ((sources_only)); then
    install_missing dpkg-dev
    step "sources of the libraries" wheel-sources \
      make_wheel_sources "${wheel_sources[@]}" "${more_wheel_sources[@]}"
    return
  fi
  setup_environment "${wheel_packages[@]}"
  chosen=$(choose_pythons "${wanted[@]}") || exit 1
  make_wheel_tools_current
  make_wheel_libraries_current
  rm -rf build/wheel/unrepaired dist/*.whl dist/*.cdx.json
  for interpreter in $chosen; do
    step "wheel for Python $(python_version "$interpreter")" "wheel-$(python_tag "$interpreter")" \
      make_wheel "$interpreter"
  done
  step "dist/: metadata, contents, licences" wheel-check check_wheels
  ls -l dist/*.whl | awk '{ printf "%s  %.1f MB\n", $9, $5 / 1e6 }'
  if ((reproduce)); then
    LOG_AGGREGATOR_PYTHON=${chosen%%$'\n'*} step "the same wheel, from the sdist elsewhere" wheel-reproduce \
      .venv/bin/python -m pytest tests/wheels/test_reproducible.py || status=1
  fi
  if ((test)); then
    test_wheels $chosen || status=1
  fi
  return "$status"
}

# choose_pythons [VERSION-OR-PATH...]: an interpreter a line; all that are at hand where none is named.
choose_pythons() {
  local wanted
  if (($# == 0)); then
    pythons_at_hand | cut -d ' ' -f 2 | grep . ||
      die "no CPython 3.10 or newer with its headers is here; --python PATH names one"
    return
  fi
  for wanted; do
    if [[ $wanted == */* ]]; then
      python_version "$wanted" >/dev/null || die "$wanted is no CPython 3.10 or newer with its headers"
      echo "$wanted"
    else
      pythons_at_hand | awk -v v="$wanted" '$1 == v { print $2; found = 1 } END { exit !found }' ||
        die "no CPython $wanted with its headers is at hand; --python PATH names one"
    fi
  done
}

# One for each version, as `3.11 /usr/bin/python3.11`: the system's, those in /usr/local, pyenv's, uv's.
pythons_at_hand() {
  local candidate version seen=" "
  for candidate in /usr/bin/python3.?? /usr/local/bin/python3.?? \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/python \
    "${XDG_DATA_HOME:-$HOME/.local/share}"/uv/python/cpython-*/bin/python; do
    version=$(python_version "$candidate") || continue
    if [[ $seen != *" $version "* ]]; then
      echo "$version $candidate"
      seen+="$version "
    fi
  done
}

# python_version PYTHON: as 3.11; fails where no extension can be built for it.
python_version() {
  [[ -x $1 ]] && "$1" - 2>/dev/null <<'PYTHON'
import os, sys, sysconfig
if sys.implementation.name != "cpython" or sys.version_info < (3, 10):
    sys.exit(1)
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    sys.exit(1)
print("%d.%d" % sys.version_info[:2])
PYTHON
}

# python_tag PYTHON: as cp311.
python_tag() { "$1" -c 'import sys; print("cp%d%d" % sys.version_info[:2])'; }

make_wheel_tools_current() {
  local id
  id=$(cat "$venv_stamp" scripts/requirements-wheel.txt | sha256sum)
  if [[ $id != "$(cat "$wheel_tools.sha256" 2>/dev/null)" ]]; then
    step "auditwheel and other tools for wheels" wheel-tools make_wheel_tools
    echo "$id" >"$wheel_tools.sha256"
  fi
}

make_wheel_tools() {
  "$python" -m venv --clear "$wheel_tools" &&
    "$wheel_tools/bin/python" -m pip install -r scripts/requirements-wheel.txt
}

# Built again where the system has newer ones, or where they are to be built in another way.
make_wheel_libraries_current() {
  local id
  id=$({
    dpkg-query -W "${wheel_packages[@]}" 2>/dev/null
    "${CXX:-c++}" --version
    echo "${wheel_sources[@]}"
    cat scripts/wheel/*
  } | sha256sum)
  if [[ $id != "$(cat "$wheel_libraries.sha256" 2>/dev/null)" ]]; then
    step "sources of the libraries" wheel-sources make_wheel_sources "${wheel_sources[@]}"
    sed 's/.*/  & could not be fetched: the bill of materials says what is linked in for it/' \
      build/wheel/sources/not-fetched 2>/dev/null || true
    step "static libraries" wheel-libraries scripts/wheel/build_libraries.sh
    echo "$id" >"$wheel_libraries.sha256"
  else  # its bill may be of another log page, or of other headers
    step "bill of materials" wheel-bill \
      python3 scripts/wheel/bill_of_materials.py build/wheel/sources "$wheel_libraries"
  fi
}

# make_wheel_sources PACKAGES...: those source packages of the system's release, with its patches, as
# folders of build/wheel/sources. apt checks the signatures.
make_wheel_sources() {
  local made=$PWD/build/wheel/sources.new package release
  release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}") &&
    rm -rf "$made" build/wheel/sources &&
    mkdir -p "$made/lists/partial" "$made/cache/archives/partial" "$made/sources" &&
    touch "$made/status" &&
    apt-get indextargets --format 'deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    grep -E " $release(-(updates|security))? main$" | sort -u >"$made/sources.list" &&
    apt_of "$made" update || return
  for package; do
    (cd "$made" && fetch_source "$made" "$package") &&
      dpkg-source --no-check -x "$made/$package"_*.dsc "$made/sources/$package" &&
      mv "$made/$package"_*.dsc "$made/sources/$package.dsc" || return
  done
  mv "$made/sources" build/wheel/sources && rm -rf "$made"
}

# fetch_source FOLDER PACKAGE: the newest version that can be had. One that is listed and cannot, as on a
# mirror that is behind, is told of in sources/not-fetched.
fetch_source() {
  local version
  for version in $(apt_cache_of "$1" showsrc "$2" | sed -n 's/^Version: //p' | sort -rVu); do
    apt_of "$1" source --download-only "$2=$version" && return
    rm -f "$2"_*
    echo "$2 $version" >>sources/not-fetched
  done
  return 1
}

# make_wheel PYTHON: built by scikit-build-core, named by auditwheel for the systems it can run on. What
# does not depend on Python is compiled once for all of them.
make_wheel() {
  local unrepaired
  unrepaired=build/wheel/unrepaired/$(python_tag "$1")
  mkdir -p "$unrepaired" dist
  rm -f build/wheel/cmake/CMakeCache.txt
  # One compiler for all, not what each Python calls its own. An archive holds no date before 1980.
  CC=${CC:-cc} CXX=${CXX:-c++} SOURCE_DATE_EPOCH=315532800 LOG_AGGREGATOR_STATIC_LIBRARIES=$wheel_libraries \
    PIP_CONSTRAINT=$PWD/scripts/constraints-wheel.txt \
    "$wheel_tools/bin/python" -m pip --python "$1" wheel --no-deps --verbose --wheel-dir "$unrepaired" \
    --config-settings=build-dir=build/wheel/cmake . &&
    SOURCE_DATE_EPOCH=315532800 PATH=$PWD/$wheel_tools/bin:$PATH \
      "$wheel_tools/bin/auditwheel" repair --only-plat --wheel-dir dist "$unrepaired"/*.whl
}

# The bill of materials of a wheel is in it, and can be read beside it.
check_wheels() {
  local wheel
  for wheel in dist/*.whl; do
    cp "$wheel_libraries/sbom.cdx.json" "${wheel%.whl}.cdx.json" || return
  done
  "$wheel_tools/bin/twine" check --strict dist/*.whl &&
    "$wheel_tools/bin/check-wheel-contents" dist/*.whl
}

# test_wheels PYTHONS...: what the wheels hold, the first of them tried by itself, then the Python tests
# with each, and one line about them all.
test_wheels() {
  local results=$PWD/build/wheel/test-results failed=0 interpreter tag tags=()
  rm -rf "$results"
  mkdir -p "$results"
  setup_project
  install_missing debootstrap binutils
  LOG_AGGREGATOR_PYTHON=$1 step "wheels: contents, neighbours, a bare Debian" wheel-test \
    .venv/bin/python -m pytest --junitxml="$results/wheels.xml" \
    --ignore=tests/wheels/test_reproducible.py tests/wheels || failed=1
  for interpreter; do
    tag=$(python_tag "$interpreter")
    tags+=("$tag")
    step "environment with the wheel, $tag" "wheel-$tag-venv" make_test_environment "$interpreter"
  done
  step "Python tests from wheels, two at a time: ${tags[*]}" wheel-python-test \
    python_suites "$results" "${tags[@]}" || failed=1
  tags=("${tags[@]/#/$results/}")
  .venv/bin/python scripts/summarise_tests.py "$results/wheels.xml" "${tags[@]/%/.xml}" || failed=1
  return "$failed"
}

# python_suites RESULTS TAGS...: two at a time, since most of their time is waiting.
python_suites() {
  local results=$1
  shift
  printf '%s\n' "$@" | xargs -P 2 -I TAG bash -c '
    build/wheel/test-TAG/bin/python -m pytest --junitxml="$0/TAG.xml" tests/python tests/docs \
      >build/logs/wheel-TAG-test.log 2>&1 || { tail -n 60 build/logs/wheel-TAG-test.log; exit 1; }
  ' "$results"
}

# make_test_environment PYTHON: what the Python tests need, and the wheel.
make_test_environment() {
  local tag
  tag=$(python_tag "$1")
  "$1" -m venv --clear build/wheel/test-"$tag" &&
    build/wheel/test-"$tag"/bin/python -m pip install -r scripts/requirements-tests.txt \
      dist/*-"$tag"-*.whl
}
