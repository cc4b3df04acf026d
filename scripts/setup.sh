# What every command needs before it can work: system packages, the environment in .venv, the build
# installed into it. Each part looks first whether it is there already; then it does nothing and
# needs no network.

build_packages=(g++ cmake ninja-build pkg-config libcurl4-openssl-dev libzstd-dev libdeflate-dev
  libsimdjson-dev libsqlite3-dev libcli11-dev libboost-dev prometheus-cpp-dev libgmock-dev
  libspdlog-dev e2fsprogs btrfs-progs)
docs_packages=(doxygen)
check_packages=(clang-16 clang-tidy-16 clang-format-16 libclang-rt-16-dev "${docs_packages[@]}")
browser_packages=(chromium)
test_packages=("${browser_packages[@]}" debootstrap dpkg-dev file)
bench_packages=(rapidjson-dev)

# PYTHON names another interpreter, which then must have its headers and venv itself. The system's
# is preferred to the first in PATH, because that is what the packages belong to.
if [[ -z ${PYTHON:-} ]]; then
  build_packages+=(python3 python3-venv python3-dev)
  python=/usr/bin/python3
else
  python=$PYTHON
fi

# What may be set outside and would send packages or imports elsewhere.
unset PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_HASHES VIRTUAL_ENV
unset NODE_ENV NODE_OPTIONS NODE_PATH
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
# A minimal system has no other locale that knows UTF-8.
export LC_ALL=C.UTF-8

venv_stamp=.venv/requirements.sha256
build_stamp=.venv/build.sha256
page_stamp=build/page.sha256
hooks_stamp=build/hooks/requirements.sha256
newer_spdlog=build/newer-spdlog

build_options=(--config-settings=build-dir=build/release
  --config-settings=cmake.build-type=Release
  --config-settings=cmake.define.LOG_AGGREGATOR_TESTS=ON
  --config-settings=cmake.define.LOG_AGGREGATOR_BENCH=ON
  --config-settings=cmake.define.LOG_AGGREGATOR_WERROR=ON
  # The tests install from it, as if from a build for /usr.
  --config-settings=cmake.define.LOG_AGGREGATOR_INSTALL=ON
  "--config-settings=cmake.define.CMAKE_INSTALL_LIBDIR=lib/$(uname -m)-linux-gnu")
# Headers of quill, which no registry of packages has, for ./run bench.
if [[ -n ${QUILL_INCLUDE_DIR:-} ]]; then
  build_options+=("--config-settings=cmake.define.LOG_AGGREGATOR_QUILL_INCLUDE_DIR=$QUILL_INCLUDE_DIR")
fi

# setup_project [PACKAGES...]: all of it, with PACKAGES beside those of the build.
setup_project() {
  lock_setup
  make_environment_current "$@"
  if ! build_is_current; then
    step "compiling, installing into .venv" build make_build
  fi
  unlock_setup
}

# setup_environment [PACKAGES...]: all but the build.
setup_environment() {
  lock_setup
  make_environment_current "$@"
  unlock_setup
}

# One at a time: two builds in one directory would spoil it.
lock_setup() {
  mkdir -p build
  exec 9>build/setup.lock
  flock 9
}
unlock_setup() { exec 9>&-; }

make_environment_current() {
  local missing
  mapfile -t missing < <(missing_packages "${build_packages[@]}" "$@")
  announce "${missing[@]}"
  if ((${#missing[@]})); then
    install_packages "${missing[@]}"
  fi
  if ! venv_is_current; then
    rm -f build/release/CMakeCache.txt
    step "environment .venv and Python packages" venv make_venv
  fi
  if ! page_is_current; then
    step "the log page" page make_page
  fi
}

# What the tests need beside it: a browser, what makes Debian packages and a Debian to try them in,
# CPython's own tests of logging, and packages that patch it.
setup_tests() {
  local version
  install_missing "${test_packages[@]}"
  version=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  # Those of another interpreter come with it or not at all.
  if [[ $python == /usr/bin/python3 && ! -e /usr/lib/python$version/test/test_logging.py ]]; then
    install_packages "libpython$version-testsuite"
  fi
  if [[ $(hooks_id) != "$(cat "$hooks_stamp" 2>/dev/null)" ]]; then
    step "packages that patch logging, for tests" hooks make_hooks
  fi
}

# A newer spdlog than the system's, for the tests of our sink: headers from the mirror that the system
# itself is installed from. Where they cannot be had, those tests are skipped by name.
setup_newer_spdlog() {
  local mirror
  if [[ -d $newer_spdlog/include ]]; then return; fi
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -m 1 '/debian/$') || return 0
  step "a newer spdlog, for tests" newer-spdlog make_newer_spdlog "$mirror" || true
}

make_newer_spdlog() {
  local made=$PWD/$newer_spdlog.new
  rm -rf "$made" &&
    mkdir -p "$made/lists/partial" "$made/cache/archives/partial" "$made/files" &&
    touch "$made/status" &&
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $1 trixie main" \
      >"$made/sources.list" &&
    apt_of "$made" update &&
    (cd "$made" && apt_of "$made" download libspdlog-dev libfmt-dev) &&
    find "$made" -maxdepth 1 -name '*.deb' -exec dpkg-deb -x {} "$made/files" \; &&
    rm -rf "$newer_spdlog" && mkdir -p "$newer_spdlog" &&
    mv "$made/files/usr/share/doc" "$newer_spdlog/" &&
    mv "$made/files/usr/include" "$newer_spdlog/" &&
    rm -rf "$made"
}

# apt_of FOLDER ARGUMENTS...: apt-get with sources and lists of its own, which needs no rights.
apt_of() { apt_with apt-get "$@"; }
apt_cache_of() { apt_with apt-cache "$@"; }

apt_with() {
  local program=$1 folder=$2
  shift 2
  "$program" -o Dir::Etc::sourcelist="$folder/sources.list" -o Dir::Etc::sourceparts=- \
    -o Dir::State::lists="$folder/lists" -o Dir::State::status="$folder/status" \
    -o Dir::Cache="$folder/cache" -o APT::Sandbox::User= -o Acquire::Languages=none \
    -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@"
}

setup_browser() { install_missing "${browser_packages[@]}"; }

install_missing() {
  local missing
  mapfile -t missing < <(missing_packages "$@")
  if ((${#missing[@]})); then
    install_packages "${missing[@]}"
  fi
}

hooks_id() { cat "$venv_stamp" scripts/requirements-hooks.txt | sha256sum; }

# In a folder with the name of the Python they are for: the tests are also run with others.
make_hooks() {
  local tag
  tag=$(.venv/bin/python -c 'import sys; print(sys.implementation.cache_tag)') &&
    rm -rf build/hooks &&
    .venv/bin/python -m pip install --no-deps --target "build/hooks/$tag" \
      -r scripts/requirements-hooks.txt &&
    hooks_id >"$hooks_stamp"
}

announce() {
  if (($# == 0)) && venv_is_current && [[ -e $build_stamp ]]; then
    return
  fi
  say "Setting up, once; a second run takes seconds and no network. Logs are in build/logs."
  if (($#)); then
    say "  Debian packages, by apt-get, up to 120 MB to download: $*"
  fi
  if ! venv_is_current; then
    say "  Python packages from PyPI into .venv: about 155 MB, a minute"
  fi
  if [[ ! -e $build_stamp ]]; then
    say "  the build, in build/: about 4 minutes on two cores"
  fi
}

missing_packages() {
  local package
  command -v dpkg-query >/dev/null || return 0
  for package; do
    dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
      echo "$package"
  done
}

install_packages() {
  if ((EUID != 0)); then
    command -v sudo >/dev/null ||
      die "neither root nor sudo: have these installed, then try again: apt-get install $*"
    sudo -v
  fi
  step "Debian packages" apt apt_install "$@"
}

apt_install() {
  # A list that cannot be read, of a source that is not Debian's for example, need not matter.
  apt_get update || true
  apt_get install -y --no-install-recommends "$@"
}

apt_get() {
  local command=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@")
  if ((EUID == 0)); then "${command[@]}"; else sudo "${command[@]}"; fi
}

# Both ids hold the path, which the environment and CMake's cache are bound to.
venv_id() {
  {
    "$python" -c 'import sys; print(sys.version, sys.executable)' &&
      echo "$PWD" && cat scripts/requirements.txt scripts/requirements-tests.txt
  } | sha256sum
}

venv_is_current() {
  [[ -x .venv/bin/python && -e $venv_stamp && $(venv_id 2>&1) == "$(<$venv_stamp)" ]]
}

make_venv() {
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed")' &&
    "$python" -m venv --clear .venv &&
    .venv/bin/python -m pip install -r scripts/requirements.txt &&
    venv_id >"$venv_stamp"
}

# The log page is bundled by Node, which is among the Python packages. What the collector's build
# takes is the bundle alone, so building from an sdist needs no Node.
page_id() {
  {
    cat "$venv_stamp" &&
      find collector/web -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -print0 |
      sort -z | xargs -0 sha256sum
  } | sha256sum
}

page_is_current() {
  [[ -d collector/web/dist && -e $page_stamp && $(page_id) == "$(<$page_stamp)" ]]
}

make_page() {
  page_npm ci --ignore-scripts --include=dev --prefer-offline --no-audit --no-fund &&
    page_npm run build &&
    page_id >"$page_stamp"
}

# page_npm ARGUMENTS...: npm in the folder of the log page.
page_npm() {
  PATH=$PWD/.venv/bin:$PATH .venv/bin/npm --prefix collector/web "$@"
}

build_id() {
  {
    echo "$PWD" "${build_options[@]}"
    # What these are for is built where they are there.
    missing_packages "${bench_packages[@]}"
    ls -d "$newer_spdlog/include" 2>/dev/null
    find CMakeLists.txt VERSION pyproject.toml bench cli cmake collector examples include python \
      src tests/programs -type f -not -name '*.pyc' -not -path '*/node_modules/*' -print0 | sort -z | xargs -0 sha256sum
  } | sha256sum
}

build_is_current() {
  [[ -x .venv/bin/log-aggregator && -e $build_stamp && $(build_id) == "$(<$build_stamp)" ]]
}

make_build() {
  local id
  id=$(build_id) &&
    .venv/bin/python -m pip install --no-index --no-deps --no-build-isolation --force-reinstall \
      --verbose "${build_options[@]}" . &&
    echo "$id" >"$build_stamp"
}
