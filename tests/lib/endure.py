# SPDX-License-Identifier: GPL-2.0-or-later
"""endure - a small farm, and vunify that has to get through something in it.

For tests/crash. A Farm is three guests on a file system of its own (in memory, below TMPDIR, so that
tests/run cleans up what is left). Each case runs vunify under a fault and then once more without:

    farm = Farm("ext4", 24)
    farm.endure("scan", fault, codes={1})

asserts that nothing is lost after the first (every path with its content and metadata, every object
with its flag, no two files one that were not equal), that it said what was wrong in the documented
form, and that the second ends as an undisturbed one does. Tap prints the results.
"""
import array
import ctypes
import fcntl
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import traceback

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
VUNIFY = os.environ.get("VUNIFY", TOP + "/build/vunify")
NIGHTLY = os.environ.get("VU_NIGHTLY") == "1"
FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IMMUTABLE_FL = 0x80086601, 0x40086602, 0x10
MS_RDONLY, MS_REMOUNT = 1, 32
OBJECT = re.compile(r"[0-9a-f]{64}-[0-9]+\Z")
MESSAGE = re.compile(r"vunify: [a-z][^:;]+")

libc = ctypes.CDLL(None, use_errno=True)


class Lost(Exception):
    """A promise that was not kept."""


class Tap:
    """TAP, and the lines of the table at the end of tests/run."""

    def __init__(self):
        self.n = self.failed = 0
        self.cases, self.lost = {}, {}

    def test(self, name, fn, *args):
        self.n += 1
        try:
            fn(*args)
            print("ok %d %s" % (self.n, name))
        except Exception as e:  # whatever it is, the others are to run
            self.failed += 1
            print("not ok %d %s" % (self.n, name))
            text = str(e) if isinstance(e, Lost) else traceback.format_exc()
            print("".join("# %s\n" % line for line in text.split("\n")[:40]), end="")
        sys.stdout.flush()

    def count(self, what, lost=False):
        self.cases[what] = self.cases.get(what, 0) + 1
        self.lost[what] = self.lost.get(what, 0) + bool(lost)

    def done(self):
        for what, n in self.cases.items():
            print("# proof: %s | %d | %d" % (what, n, self.lost[what]))
        print("1..%d" % self.n)
        sys.exit(1 if self.failed else 0)


def skip_all(why):
    print("1..0 # SKIP %s" % why)
    sys.exit(0)


def spread(n, most):
    """At most so many of 1..n, evenly spread, the first and the last among them; all by night."""
    if NIGHTLY or n <= most:
        return list(range(1, n + 1))
    return sorted({1 + i * (n - 1) // (most - 1) for i in range(most)})


def sh(*args):
    r = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if r.returncode:
        raise RuntimeError("%s: %s" % (" ".join(args), r.stdout))
    return r.stdout


def iflags(path):
    value = array.array("L", [0])
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.ioctl(fd, FS_IOC_GETFLAGS, value)
    except OSError:
        return 0
    finally:
        os.close(fd)
    return value[0]


def clear_flags(path):
    value = array.array("L", [0])
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    fcntl.ioctl(fd, FS_IOC_GETFLAGS, value)
    value[0] &= ~FS_IMMUTABLE_FL
    fcntl.ioctl(fd, FS_IOC_SETFLAGS, value)
    os.close(fd)


def preload(source, to):
    """Compiles a library that is preloaded."""
    sh(os.environ.get("CC", "cc"), "-std=gnu17", "-O1", "-Wall", "-Wextra", "-D_GNU_SOURCE", "-fPIC",
       "-shared", "-o", to, source, "-ldl", "-pthread")
    return to


class Farm:
    def __init__(self, fs="ext4", mb=24, mkfs=(), mount="", guests=3, subvolume=False):
        if os.geteuid():
            skip_all("needs root")
        if not shutil.which("mkfs." + fs):
            skip_all("no mkfs.%s on this machine" % fs)
        self.work = tempfile.mkdtemp(prefix="vu-endure.", dir=os.environ.get("TMPDIR", "/var/tmp"))
        self.ram, self.mnt = self.work + "/a-ram", self.work + "/mnt"
        self.state = self.ram + "/state"
        for d in self.ram, self.mnt:
            os.mkdir(d)
        sh("mount", "-t", "tmpfs", "-o", "size=%dm" % (3 * mb + 64), "tmpfs", self.ram)
        os.mkdir(self.state)
        self.img = self.ram + "/img"
        with open(self.img, "w") as f:
            f.truncate(mb << 20)
        options = {"ext4": ["-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,nodiscard"]}
        sh("mkfs." + fs, *options.get(fs, ["-q", "-f"]), *mkfs, self.img)
        self.top = self.work + "/l-top" if subvolume else self.mnt
        os.makedirs(self.top, exist_ok=True)
        sh("mount", "-t", fs, "-o", "loop" + ("," + mount if mount else ""), self.img, self.top)
        if subvolume:
            sh("btrfs", "subvolume", "create", self.top + "/farm")
            sh("mount", "--bind", self.top + "/farm", self.mnt)
        self.guests = self.mnt + "/guests"
        self.roots = ["%s/g%d" % (self.guests, i + 1) for i in range(guests)]
        self.conf, self.catalog = self.state + "/vunify.conf", self.state + "/catalog.db"
        with open(self.conf, "w") as f:
            f.write("[policy]\nmin_size = 1\n[paths]\nlock_dir = %s/lock\n" % self.state)
        self.make_guests()
        self.manifest = self.paths()
        self.wanted = {}

    # What is equal everywhere; two equal files of one guest; two names of one file; what no rule lets in.
    def make_guests(self):
        first = self.roots[0]
        for d in "usr/a", "usr/b", "etc":
            os.makedirs("%s/%s" % (first, d))
        for i in range(10):
            self.put(first, "usr/a/f%d" % i, b"".join(b"%d\n" % k for k in range(i, 700)))
            self.put(first, "usr/b/f%d" % i, b"%d\n" % i)
        self.put(first, "usr/b/twin", b"3\n")
        self.put(first, "usr/b/held.lock", b"a lock\n")
        self.put(first, "etc/conf", b"of all\n")
        os.link(first + "/usr/a/f1", first + "/usr/b/second-name")
        os.setxattr(first + "/usr/a/f2", "user.vu", b"x")
        os.chown(first + "/usr/a/f3", 7, 8)
        os.chmod(first + "/usr/a/f4", 0o640)
        os.symlink("f1", first + "/usr/a/link")
        os.mkfifo(first + "/usr/a/fifo")
        for top, dirs, names in os.walk(first, topdown=False):
            for n in names + [""]:
                os.utime(os.path.join(top, n), ns=(10**18, 1600000000123456789),
                         follow_symlinks=False)
        for i, root in enumerate(self.roots):
            if i:
                sh("cp", "-a", first, root)
            # of one size everywhere, and different
            self.put(root, "usr/own", b"of guest %d\n" % i)
            os.utime(root + "/usr/own", ns=(10**18, 1600000000123456789))

    def put(self, root, path, data):
        with open(os.path.join(root, path), "wb") as f:
            f.write(data)

    # ---- what there is ----

    def each(self):
        for root in self.roots:
            for top, dirs, names in os.walk(root):
                for name in dirs + names:
                    yield os.path.join(top, name)

    def paths(self):
        """Every path with its content and what else a guest sees of it; not times of directories."""
        found = {}
        for path in self.each():
            st = os.lstat(path)
            what = [st.st_mode, st.st_uid, st.st_gid]
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as f:
                    what += [st.st_mtime_ns, f.read()]
                what.append([(n, os.getxattr(path, n)) for n in sorted(os.listxattr(path))])
            elif stat.S_ISLNK(st.st_mode):
                what.append(os.readlink(path))
            found[path] = what
        return found

    def links(self):
        """Which names are one inode, and which of those are immutable.

        Which of two equal files of a guest goes with which of another's is the same to everybody.
        """
        groups = {}
        for path in self.each():
            st = os.lstat(path)
            if stat.S_ISREG(st.st_mode):
                groups.setdefault(st.st_ino, []).append(path[len(self.guests):])
        return sorted((bool(iflags(self.guests + names[0]) & FS_IMMUTABLE_FL),
                       sorted(re.sub("/(twin|f3)$", "/twins", n) if "/b/" in n else n
                              for n in names))
                      for names in groups.values())

    def pool(self):
        """The names in the pool, without those of a pool that is at rest."""
        objects, others = [], []
        for top, dirs, names in os.walk(self.mnt + "/.vunify"):
            for name in names:
                path = os.path.join(top, name)
                if OBJECT.match(name):
                    objects.append(path)
                elif name not in ("lock", "claims") and not (name.startswith("journal")
                                             and not os.lstat(path).st_size):
                    others.append(path)
        return objects, others

    # ---- what must hold ----

    def check_kept(self, when):
        now = self.paths()
        for path in sorted(set(now) | set(self.manifest)):
            if now.get(path) != self.manifest.get(path):
                raise Lost("%s: %s is %.300s, was %.300s" % (when, path, now.get(path),
                                                            self.manifest.get(path)))

    def check_wall(self, when):
        for path in self.pool()[0]:
            if not iflags(path) & FS_IMMUTABLE_FL:
                raise Lost("%s: the object %s has no flag" % (when, path))

    def check_end(self, verb, when):
        if verb not in self.wanted:
            return
        objects, others = self.pool()
        now = (self.links(), len(objects), others)
        if now != self.wanted[verb]:
            raise Lost("%s: ends otherwise than undisturbed:\nnow    %s\nwanted %s" %
                       (when, *self.difference(now, self.wanted[verb])))

    @staticmethod
    def difference(a, b):
        if a[0] != b[0]:
            return [x for x in a[0] if x not in b[0]], [x for x in b[0] if x not in a[0]]
        return a[1:], b[1:]

    # ---- runs ----

    def command(self, *args, catalog=None, conf=None):
        return [VUNIFY, "--config", conf or self.conf, "--catalog", catalog or self.catalog, *args]

    def run(self, *args, env=None, limits=None, seconds=60, **where):
        """Returns (exit code, stdout, stderr); a signal that ended it is a negative code."""
        def set_limits():
            for what, n in (limits or {}).items():
                resource.setrlimit(what, (n, n))
        full = dict(os.environ, LC_ALL="C.UTF-8", **(env or {}))
        p = subprocess.Popen(self.command(*args, **where), stdin=subprocess.DEVNULL, env=full,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             preexec_fn=set_limits if limits else None)
        try:
            out, err = p.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            p.kill()
            p.communicate()
            raise Lost("vunify %s hangs: ended after %d s" % (" ".join(args), seconds)) from None
        return p.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")

    def operands(self, verb):
        return [] if verb in ("guests", "status", "df", "history") else self.roots

    def must(self, verb, *options, **how):
        rc, out, err = self.run(verb, *options, *self.operands(verb), **how)
        if rc:
            raise Lost("vunify %s: exit code %d: %s" % (verb, rc, err.strip()))
        return out

    def undisturbed(self, **how):
        """Notes how runs end in peace, and leaves the farm without anything unified."""
        for verb in "scan", "unmerge":
            self.must(verb, **how)
            self.check_kept("after " + verb)
            objects, others = self.pool()
            if others:
                raise Lost("%s leaves %s" % (verb, others))
            self.wanted[verb] = (self.links(), len(objects), others)
        if self.wanted["scan"] == self.wanted["unmerge"]:
            raise Lost("a scan unifies nothing here")

    def check_said(self, when, rc, err):
        lines = err.splitlines()
        if rc and not lines:
            raise Lost("%s: exit code %d, and nothing is said" % (when, rc))
        for line in lines:
            if not MESSAGE.match(line):
                raise Lost("%s: this says nothing: %r" % (when, line))
        errors = [x for x in lines if not x.startswith(("vunify: warning", "vunify: damage"))]
        if len(errors) > 1:
            raise Lost("%s: said more than once: %s" % (when, errors))
        if rc not in (0, 3, 4) and not errors:
            raise Lost("%s: exit code %d, but only warnings: %s" % (when, rc, lines))

    def endure(self, verb, when, codes, options=(), release=None, again=None, **how):
        """One case; how: what Farm.run is given for the first run. Returns that run's result."""
        when = "%s: %s" % (verb, when)
        rc, out, err = self.run(verb, *options, *self.operands(verb), **how)
        try:
            if rc not in codes:
                raise Lost("%s: exit code %d, wanted one of %s: %s" %
                           (when, rc, sorted(codes), err.strip()))
            self.check_said(when, rc, err)
            self.check_kept(when)
            self.check_wall(when)
            if not rc:
                self.check_end(verb, when + ", though it said that all is done")
        finally:
            if release:
                release()
        self.must(verb, **(again or {}))
        self.check_kept(when + ", and once more")
        self.check_end(verb, when + ", and once more")
        return rc, out, err

    # ---- the file system as it was ----

    def keep_image(self):
        """What put_back() goes back to, inode numbers and times included."""
        self.unmount()
        self.kept = self.ram + "/kept"
        os.rename(self.img, self.kept)
        self.mount_copy()

    def put_back(self):
        self.unmount()
        os.unlink(self.img)
        self.mount_copy()

    def unmount(self):
        """Everything is in the image then, even if another mount namespace still shows it."""
        where = os.fsencode(self.mnt)
        # by hundreds of cases: as calls, without the programs
        if libc.mount(None, where, None, ctypes.c_ulong(MS_REMOUNT | MS_RDONLY), None) or \
                libc.umount2(where, 0):
            raise OSError(ctypes.get_errno(), "unmounting " + self.mnt)

    def mount_copy(self):
        # another name each time: a loop device that somebody looks at stays, with what it has cached,
        # and mount would take it again
        self.n_images = getattr(self, "n_images", 0) + 1
        self.img = "%s/img.%d" % (self.ram, self.n_images)
        shutil.copyfile(self.kept, self.img)
        sh("mount", "-o", "loop", self.img, self.mnt)

    def close(self):
        for where in dict.fromkeys((self.mnt, self.top, self.ram)):
            # a loop device lets go of its image a moment after it was unmounted
            for i in range(50):
                if not os.path.ismount(where):
                    break
                lazily = ["-l"] if i == 49 else []
                if subprocess.run(["umount", *lazily, where], stderr=subprocess.DEVNULL).returncode:
                    time.sleep(0.05)
        shutil.rmtree(self.work, ignore_errors=True)


def stop_on_signals():
    """So that what was mounted is unmounted."""
    def stop(signo, frame):
        raise SystemExit(128 + signo)
    for s in signal.SIGTERM, signal.SIGINT, signal.SIGHUP:
        signal.signal(s, stop)
