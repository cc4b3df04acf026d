# ./run test: the C++ tests and the Python tests of the release build, and one line about them all. Those
# of wheels are part of ./run wheel --test.

results=build/test-results

run_tests() {
  local failed=0
  rm -rf "$results"
  mkdir -p "$results"
  step "C++ tests" ctest ctest_suite build/release "$PWD/$results/ctest.xml" || failed=1
  step "Python tests" pytest .venv/bin/python -m pytest --junitxml="$results/pytest.xml" \
    --ignore=tests/wheels tests ||
    failed=1
  .venv/bin/python scripts/summarise_tests.py "$results/ctest.xml" "$results/pytest.xml" || failed=1
  return "$failed"
}

# ctest_suite BUILD_DIR JUNIT_FILE
ctest_suite() {
  ctest --test-dir "$1" --output-junit "$2" --output-on-failure --no-tests=error -j "$(nproc)"
}
