#!/usr/bin/env bash
# usage: scripts/wheel/build_libraries.sh [SOURCES [PREFIX]]
#
# The static libraries that a wheel is linked from, into PREFIX (build/wheel/libraries), with the
# licence of each in PREFIX/licenses and the bill of materials in PREFIX/sbom.cdx.json. Libraries whose
# source is a folder of SOURCES (build/wheel/sources, by ./run wheel --sources) are built from it; the
# others are the system's own, which then must have static archives (on Debian, the -dev packages do).
# ./run wheel and cibuildwheel (pyproject.toml) both build by this script.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."

sources=$(realpath -m -- "${1:-build/wheel/sources}")
prefix=$(realpath -m -- "${2:-build/wheel/libraries}")
work=$prefix.work
jobs=$(getconf _NPROCESSORS_ONLN)
scripts=$PWD/scripts/wheel

# What is built later finds what was built before, then the system's; archives only (see static.cmake).
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
# The same bytes wherever and whenever it is built: no path and no date is kept. OpenSSL keeps the flags.
export SOURCE_DATE_EPOCH=0
flags="-O2 -fPIC -fvisibility=hidden -ffunction-sections -fdata-sections"

# cmake_build NAME OPTIONS...
cmake_build() {
  local name=$1 no_paths="-ffile-prefix-map=$sources=. -ffile-prefix-map=$work=."
  shift
  cmake -S "$sources/$name" -B "$work/$name" -G Ninja -Wno-dev \
    -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS_RELEASE="-DNDEBUG $flags $no_paths" \
    -DCMAKE_CXX_FLAGS_RELEASE="-DNDEBUG $flags $no_paths" -DBUILD_SHARED_LIBS=OFF \
    -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib \
    -DCMAKE_PROJECT_INCLUDE="$scripts/static.cmake" "$@"
  cmake --build "$work/$name"
  cmake --install "$work/$name"
}

# For those that are built where their source is.
copy_source() { cp -R "$sources/$1" "$work/$1"; }

# Small: TLS 1.2 and 1.3 for a client. Nothing of the host is read, neither a configuration file nor
# modules. The nistz256 code of the curve P-256 brings a table of 150 KB, which another one does without.
build_openssl() {
  copy_source openssl
  (cd "$work/openssl" && ./Configure --prefix=/usr --libdir=lib --openssldir=/nonexistent \
    no-shared no-module no-engine no-dso no-autoload-config no-legacy no-tests no-comp no-ssl3 \
    no-tls1 no-tls1_1 no-dtls no-srp no-psk no-srtp no-nextprotoneg no-idea no-mdc2 no-rc2 no-rc4 \
    no-rc5 no-md4 no-rmd160 no-seed no-camellia no-aria no-bf no-cast no-sm2 no-sm3 no-sm4 no-blake2 \
    no-whirlpool no-siphash no-scrypt no-gost no-ec2m no-multiblock no-cms no-cmp no-ts no-ct no-sock \
    no-ui-console enable-ec_nistp_64_gcc_128 CFLAGS="${flags/-O2/-Os} -UECP_NISTZ256_ASM")
  make -C "$work/openssl" -j "$jobs" build_libs
  make -C "$work/openssl" install_dev DESTDIR="$work/openssl/installed"
  cp -R "$work/openssl/installed/usr/." "$prefix"
  sed -i "s|^prefix=.*|prefix=$prefix|" "$prefix"/lib/pkgconfig/{openssl,libssl,libcrypto}.pc
}

build_libzstd() {
  copy_source libzstd
  make -C "$work/libzstd/lib" -j "$jobs" CFLAGS="$flags" PREFIX="$prefix" \
    install-static install-includes install-pc
}

build_libdeflate() {
  copy_source libdeflate
  make -C "$work/libdeflate" -j "$jobs" CFLAGS="$flags" PREFIX="$prefix" DISABLE_SHARED=yes install
}

build_sqlite3() {
  copy_source sqlite3
  (cd "$work/sqlite3" && CFLAGS="$flags" ./configure --prefix="$prefix" --libdir="$prefix/lib" \
    --disable-shared --disable-tcl --disable-readline --disable-load-extension --enable-fts5)
  make -C "$work/sqlite3" -j "$jobs" libsqlite3.la sqlite3.h sqlite3.pc
  make -C "$work/sqlite3" lib_install
  cp "$work/sqlite3/sqlite3.h" "$prefix/include"
  cp "$work/sqlite3/sqlite3.pc" "$prefix/lib/pkgconfig"
}

build_nghttp2() {
  cmake_build nghttp2 -DENABLE_LIB_ONLY=ON -DENABLE_SHARED_LIB=OFF -DENABLE_STATIC_LIB=ON
}

# Small: what a log shipper speaks. Certificates are found when the program runs (trust_store.h), so
# that no place of the machine that builds is in it; OpenSSL's configuration file is not read.
build_curl() {
  cmake_build curl -DBUILD_CURL_EXE=OFF -DBUILD_TESTING=OFF -DPICKY_COMPILER=OFF -DHTTP_ONLY=ON \
    -DCURL_USE_OPENSSL=ON -DUSE_NGHTTP2=ON -DCURL_ZSTD=ON -DCURL_ZLIB=OFF -DCURL_BROTLI=OFF \
    -DUSE_LIBIDN2=OFF -DCURL_USE_LIBPSL=OFF -DCURL_USE_LIBSSH2=OFF -DCURL_DISABLE_NTLM=ON \
    -DCURL_DISABLE_ALTSVC=ON -DCURL_DISABLE_HSTS=ON -DCURL_DISABLE_COOKIES=ON -DCURL_DISABLE_DOH=ON \
    -DCURL_DISABLE_MIME=ON -DCURL_DISABLE_NETRC=ON -DCURL_DISABLE_GETOPTIONS=ON \
    -DCURL_CA_BUNDLE=none -DCURL_CA_PATH=none -DCURL_DISABLE_OPENSSL_AUTO_LOAD_CONFIG=ON
  # It names the archives that it found by their paths, which pkg-config's readers pass over.
  sed -i -e 's/^Libs:.*/Libs: -L${libdir} -lcurl/' \
    -e 's/^Libs.private:.*/Requires: libssl libcrypto libnghttp2 libzstd/' \
    "$prefix/lib/pkgconfig/libcurl.pc"
}

build_simdjson() { cmake_build simdjson; }

build_prometheus-cpp() {
  cmake_build prometheus-cpp -DENABLE_PULL=OFF -DENABLE_PUSH=OFF -DENABLE_COMPRESSION=OFF \
    -DENABLE_TESTING=OFF -DUSE_THIRDPARTY_LIBRARIES=OFF
}

build_cli11() {
  cmake_build cli11 -DCLI11_BUILD_TESTS=OFF -DCLI11_BUILD_EXAMPLES=OFF -DCLI11_BUILD_DOCS=OFF
}

rm -rf "$prefix" "$work"
mkdir -p "$prefix"/{include,lib/pkgconfig} "$work"
for name in openssl libzstd libdeflate sqlite3 nghttp2 curl simdjson prometheus-cpp cli11; do
  if [[ -d $sources/$name ]]; then
    echo "== $name, from source"
    "build_$name"
  fi
done
rm -rf "$work"
python3 scripts/wheel/bill_of_materials.py "$sources" "$prefix"
