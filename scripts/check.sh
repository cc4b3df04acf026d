# ./run check: everything but the tests of the release build. Goes on after a failure, so that one
# run names all that is wrong.

checks_passed=0
checks_failed=0

run_checks() {
  check "C++ format" clang-format format_cpp
  check "Python format" ruff-format .venv/bin/ruff format --check .
  check "Python lint" ruff .venv/bin/ruff check .
  check "Python types" mypy .venv/bin/mypy
  check "types of the log page" page-types page_npm run types
  check "include directions" includes .venv/bin/python scripts/check_includes.py
  check "reference of the C++ interface" docs make_reference
  check "installed headers and library, clang 16" clang-package \
    .venv/bin/python -m pytest tests/package -k clang
  check "clang-tidy, warnings of clang 16" clang-tidy tidy
  check "AddressSanitizer, UBSan: build, fuzzers as well" asan-build preset_build asan
  check "AddressSanitizer, UBSan: C++ tests" asan-test preset_test asan
  check "AddressSanitizer, UBSan: fuzzers, 3 s each" fuzz fuzz_all
  check "ThreadSanitizer, thread-safety analysis: build" tsan-build preset_build tsan
  check "ThreadSanitizer: C++ tests" tsan-test preset_test tsan
  say "$checks_passed checks passed, $checks_failed failed"
  ((checks_failed == 0))
}

check() {
  if step "$@"; then
    checks_passed=$((checks_passed + 1))
  else
    checks_failed=$((checks_failed + 1))
  fi
}

cpp_sources() {
  find include src collector cli python/binding bench fuzz examples tests -name '*.cc' -o -name '*.h' | sort
}

format_cpp() {
  cpp_sources | xargs clang-format-16 --dry-run -Werror
}

# One configuration with clang and the Python extension, which the sanitizer builds leave out; it is
# never built. Test files are left to the compilers: their macros are all that tidy would see.
tidy() {
  cmake -S . -B build/tidy -G Ninja -DCMAKE_CXX_COMPILER=clang++-16 -DLOG_AGGREGATOR_WERROR=ON \
    -DLOG_AGGREGATOR_PYTHON=ON -DLOG_AGGREGATOR_TESTS=ON -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON \
    -DPython_EXECUTABLE="$PWD/.venv/bin/python" &&
    cpp_sources | grep '\.cc$' | grep -v -e _test.cc -e ^bench/ -e ^fuzz/ |
    xargs -P "$(nproc)" -n 1 clang-tidy-16 -p build/tidy --quiet
}

preset_build() {
  cmake --preset "$1" && fixed_addresses cmake --build --preset "$1"
}

preset_test() {
  fixed_addresses ctest --preset "$1" --no-tests=error -j "$(nproc)"
}

# What stops one is kept beside it.
fuzz_all() {
  local fuzzer
  for fuzzer in build/asan/fuzz/fuzz_*; do
    [[ -x $fuzzer ]] || continue
    fixed_addresses "$fuzzer" -max_total_time=3 -timeout=10 -dict=fuzz/words.dict \
      -artifact_prefix="$fuzzer-" || return
  done
}

# clang 16's ThreadSanitizer does not start where kernels randomise addresses by more than 28 bits.
# The build needs it too: it asks each test program for its tests.
fixed_addresses() {
  if setarch -R true 2>/dev/null; then setarch -R "$@"; else "$@"; fi
}
