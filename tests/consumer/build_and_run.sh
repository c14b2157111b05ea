#!/usr/bin/env bash
# Builds the project of this folder against Nestor as a stranger would, and runs it.
# usage: build_and_run.sh find_package|add_subdirectory|pkg_config|shared SOURCE_FOLDER BUILD_FOLDER
set -euo pipefail

way=$1 source=$2 build=$3
here=$source/tests/consumer
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
faster=(-DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=8)
if command -v ccache >/dev/null; then faster+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi

# Installs a build folder and moves the result: nothing in it may remember where it was put first.
install_and_move() {
  cmake --install "$1" --prefix "$work/first" >/dev/null
  mv "$work/first" "$work/prefix"
  if grep -rIl -e "$source" -e "$work/first" "$work/prefix"; then
    echo "the files above name the build machine's folders" >&2
    exit 1
  fi
}

# build_consumer ARGUMENTS...
build_consumer() {
  cmake -S "$here" -B "$work/build" -G Ninja "${faster[@]}" "$@"
  cmake --build "$work/build"
  program=$work/build/consumer
}

# The library is one shared file that shows its public names and no others.
build_shared() {
  cmake -S "$source" -B "$work/nestor" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON "${faster[@]}"
  cmake --build "$work/nestor" --target libnestor.so nestor_cli
  if nm -DC --defined-only "$work/nestor/libnestor.so" | grep -E '^[0-9a-f]+ . nestor::(embed|index|storage|query)::'; then
    echo "the names above belong to the inside of the library" >&2
    exit 1
  fi
  if readelf -d "$work/nestor/libnestor.so" | grep -E 'NEEDED.*(blas|lapack)'; then
    echo "the library loads a BLAS, whose threads start in every process that loads it" >&2
    exit 1
  fi
  install_and_move "$work/nestor"
}

case $way in
  find_package)
    install_and_move "$build"
    "$work/prefix/bin/nestor" --version
    build_consumer -DCMAKE_PREFIX_PATH="$work/prefix"
    ;;
  add_subdirectory)
    build_consumer -DNESTOR_SOURCE="$source" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0
    ;;
  pkg_config)
    install_and_move "$build"
    export PKG_CONFIG_PATH
    PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name nestor.pc)")
    # Unquoted: pkg-config answers with a list of words.
    # shellcheck disable=SC2046
    c++ -std=c++20 "$here/consumer.cc" -o "$work/consumer" $(pkg-config --cflags --libs --static nestor)
    program=$work/consumer
    ;;
  shared)
    build_shared
    build_consumer -DCMAKE_PREFIX_PATH="$work/prefix"
    ;;
  *)
    echo "unknown way: $way (find_package, add_subdirectory, pkg_config or shared)" >&2
    exit 2
    ;;
esac

output=$("$program" "$work/database")
echo "$output"
[[ $output == "0.994 north the needle points" ]]
