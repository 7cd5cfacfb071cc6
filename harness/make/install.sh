#!/bin/sh
# Usage: install.sh install|uninstall BUILD SONAME DESTDIR PREFIX "LIBRARIES OF A STATIC LINK"
export LC_ALL=C
set -e
verb=$1 build=$2 soname=$3 prefix=$5 root=$4$5 private=$6
files="bin/titans include/titans.h lib/libtitans.a lib/$soname lib/libtitans.so lib/pkgconfig/titans.pc
share/man/man1/titans.1 share/man/man3/titans.3"
if [ "$verb" = uninstall ]; then
    for file in $files; do rm -f "$root/$file"; done
    echo "removed from $root"
    exit
fi
version=$(sed -n 's/^#define TITANS_VERSION "\(.*\)"/\1/p' optimized/titans.h)
for file in $files; do mkdir -p "$root/$(dirname "$file")"; done
install -m 755 "$build/titans" "$root/bin/titans"
install -m 755 "$build/$soname" "$root/lib/$soname"
install -m 644 "$build/libtitans.a" "$root/lib/libtitans.a"
install -m 644 optimized/titans.h "$root/include/titans.h"
install -m 644 docs/man/titans.1 "$root/share/man/man1/titans.1"
install -m 644 docs/man/titans.3 "$root/share/man/man3/titans.3"
ln -sf "$soname" "$root/lib/libtitans.so"
cat >"$root/lib/pkgconfig/titans.pc" <<END
prefix=$prefix
libdir=\${prefix}/lib
includedir=\${prefix}/include

Name: titans
Description: Models and the neural memory of "Titans: Learning to Memorize at Test Time"
Version: $version
Cflags: -I\${includedir}
Libs: -L\${libdir} -ltitans
Libs.private: $private -lpthread
END
echo "installed under $root: program, library, header, man pages"
