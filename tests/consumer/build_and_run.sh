#!/usr/bin/env bash
# Builds the project of this folder against Nestor as a user would, and runs it.
# usage: build_and_run.sh find_package|add_subdirectory|pkg_config|shared SOURCE_FOLDER BUILD_FOLDER
set -euo pipefail

way=$1 source=$2 build=$3
here=$source/tests/consumer
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# cached NAME: the value of a variable in the cache of the build folder.
cached() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }

# Configured as the build folder is, so that its objects serve wherever the compiler would get the same command.
reusing=(-DCMAKE_UNITY_BUILD="$(cached CMAKE_UNITY_BUILD)" -DCMAKE_CXX_FLAGS="$(cached CMAKE_CXX_FLAGS)"
  -DCMAKE_UNITY_BUILD_BATCH_SIZE="$(cached CMAKE_UNITY_BUILD_BATCH_SIZE)" -DCMAKE_EXPORT_COMPILE_COMMANDS=ON
  -DCMAKE_CXX_COMPILER_LAUNCHER="python3;-B;$here/reuse_object.py;$build")

# check_reuse FOLDER: fails where most objects were compiled anew, which means that the commands differ.
check_reuse() {
  local reused compiled
  reused=$(grep -c ^reused "$1/objects.log" || true)
  compiled=$(grep ^compiled "$1/objects.log" || true)
  echo "objects: $reused of $build, compiled: ${compiled:-none}"
  ((reused > $(wc -l <<<"$compiled"))) || { echo "most objects were compiled: the commands are not those of $build" >&2; exit 1; }
}

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
  cmake -S "$here" -B "$work/build" -G Ninja "$@"
  cmake --build "$work/build"
  program=$work/build/consumer
}

# The library is one shared file that shows its public names and no others.
build_shared() {
  local type
  type=$(cached CMAKE_BUILD_TYPE)
  cmake -S "$source" -B "$work/nestor" -G Ninja -DBUILD_SHARED_LIBS=ON "${reusing[@]}" -DCMAKE_BUILD_TYPE="$type" \
    -DCMAKE_CXX_FLAGS_"${type^^}"="$(cached "CMAKE_CXX_FLAGS_${type^^}")"
  cmake --build "$work/nestor" --target libnestor.so nestor_cli
  check_reuse "$work/nestor"
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
    build_consumer -DNESTOR_SOURCE="$source" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0 "${reusing[@]}"
    check_reuse "$work/build"
    if grep -q -e -Werror "$work/build/compile_commands.json"; then
      echo "inside another project warnings of Nestor are to be no errors" >&2
      exit 1
    fi
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
