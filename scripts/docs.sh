# ./run docs: the reference of the C++ interface, in build/docs/cpp/html. Fails where a public name
# has no comment.

make_reference() {
  rm -rf build/docs/cpp && mkdir -p build/docs/cpp &&
    doxygen docs/Doxyfile &&
    .venv/bin/python scripts/check_reference.py build/docs/cpp/xml
}
