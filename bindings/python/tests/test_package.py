"""The package as a whole: bound functions, documentation, README, example, and the search for libibt."""

import ctypes
import enum
import inspect
import os
import re
import shutil
import subprocess
import sys
import unittest

import ibt
from ibt import _constants, _lib, _options
from support import Case, write

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.dirname(HERE)
ROOT = os.path.dirname(os.path.dirname(PACKAGE))


def read(*names):
    with open(os.path.join(*names), encoding="utf-8") as file:
        return file.read()


HEADER = re.sub(r"/\*.*?\*/", "", read(ROOT, "include", "ibt.h"), flags=re.S)
SYMBOLS = read(ROOT, "abi", "ibt.symbols").split()


class Binding(unittest.TestCase):
    def test_every_function_is_bound(self):
        sources = ""
        for name in os.listdir(os.path.join(PACKAGE, "ibt")):
            if name.endswith(".py") and name != "_lib.py":
                sources += read(PACKAGE, "ibt", name)
        used = set(re.findall(r"\bibt_\w+", sources))
        # Names of numbers, which are enumerations here, and the number of a version that is also a text.
        used |= {"ibt_problem_name", "ibt_version_number"}
        self.assertEqual([name for name in SYMBOLS if name not in used], [])
        self.assertGreater(len(SYMBOLS), 150)

    def test_signatures_are_those_of_the_header(self):
        declared = {}
        prototype = r"IBT_API\s+((?:const )?\w+\s*\*?)\s*(ibt_\w+)\(([^)]*)\);"
        for result, name, arguments in re.findall(prototype, HEADER):
            declared[name] = [c_type(result)] + [
                c_type(re.sub(r"\w+$", "", argument.strip())) for argument in arguments.split(",") if argument != "void"
            ]
        self.assertEqual(sorted(declared), SYMBOLS)
        for name, types in declared.items():
            function = getattr(_lib.lib, name)
            self.assertEqual([function.restype, *function.argtypes], types, name)

    def test_callbacks_are_those_of_the_header(self):
        from ibt import _call, _storage

        callbacks = {name.lstrip("_"): value for name, value in [*vars(_call).items(), *vars(_storage).items()]
                     if isinstance(value, ctypes._CFuncPtr)}
        found = {}
        for result, name, arguments in re.findall(r"typedef (\w+) \(\*ibt_(\w+)_fn\)\(([^)]*)\);", HEADER):
            found[name] = [c_type(result)] + [
                c_type(re.sub(r"\w+$", "", argument.strip())) for argument in arguments.split(",")
            ]
        del found["destroy"]  # userdata is not used
        self.assertGreater(len(found), 14)
        for name, types in found.items():
            name = {"sink": "on_bytes"}.get(name, name)
            function = callbacks.get(name, callbacks.get("on_" + name))
            self.assertIsNotNone(function, name)
            self.assertEqual([function._restype_, *function._argtypes_], types, name)

    def test_constants_are_those_of_the_header(self):
        defined = {name: int(number, 0) for name, number in re.findall(r"#define IBT_(\w+) (-?\w+)\n", HEADER)}
        for name in ("VERSION_NUMBER",):
            del defined[name]
        enumerations = {
            "OK": "Status", "PARTIAL": "Status", "ERR_": "Status", "FILTER_": "Filter", "COMPRESSION_": "Compression",
            "DETECT_": "Detection", "DELTA_": "Delta", "VERIFY_": "VerifyScope", "ON_ERROR_": "OnFileError",
            "OVERWRITE_": "Overwrite", "META_": "Metadata", "PHASE_": "Phase", "LOG_": "LogLevel",
            "TYPE_": "EntryType", "CHANGE_": "ChangeKind", "PROBLEM_": "ProblemKind", "ACTION_": "Action",
        }
        seen = {}
        for name, number in defined.items():
            prefix = next((one for one in enumerations if name.startswith(one)), None)
            if prefix is None:
                continue
            kind = getattr(ibt, enumerations[prefix])
            member = name[len(prefix):] if prefix.endswith("_") else name
            self.assertEqual(kind[member], number, name)
            seen.setdefault(kind, []).append(member)
        for kind, members in seen.items():
            self.assertEqual(sorted(members), sorted(kind.__members__), kind)
        counters = {name[6:].lower() for name in defined if name.startswith("COUNT_")}
        self.assertEqual(counters, set(ibt.Counters.__annotations__))
        rest = {name for name in defined if not name.startswith((*enumerations, "COUNT_"))}
        self.assertEqual({
            "CALLBACK_OK": _constants.CALLBACK_OK, "CALLBACK_FAILED": _constants.CALLBACK_FAILED,
            "CALLBACK_STOP": ibt.STOP.value, "DIR_MUST_EXIST": _constants.DIR_MUST_EXIST,
            "DIR_READ_ONLY": _constants.DIR_READ_ONLY, "DIR_CREATE_PARENTS": _constants.DIR_CREATE_PARENTS,
            "STORAGE_READS_CHEAPLY": _constants.STORAGE_READS_CHEAPLY,
            "STORAGE_THREAD_SAFE": _constants.STORAGE_THREAD_SAFE, "PART_SIZE_MIN": ibt.PART_SIZE_MIN,
        }, {name: defined[name] for name in rest})

    def test_names_of_numbers(self):
        for status in ibt.Status:
            name = _lib.lib.ibt_status_name(status).decode()
            self.assertEqual(name, f"IBT_{'' if status >= 0 else 'ERR_'}{status.name}")
        for kind in ibt.ProblemKind:
            self.assertEqual(_lib.lib.ibt_problem_name(kind).decode(), kind.name.lower())
        self.assertIsNone(_lib.lib.ibt_problem_name(len(ibt.ProblemKind) + 1))

    def test_every_option_has_the_name_of_its_setter(self):
        setters = {re.sub("^ibt_options_(set|add)_", "", name) for name in SYMBOLS if "_set_" in name or "_add_" in name
                   if name.startswith("ibt_options_")}
        options = set(_options._OPTIONS) | set(_options._OTHERS)
        self.assertEqual(options - setters, {"log_level", "compression_level"})
        self.assertEqual(setters - options, set())
        typed = set()
        for name in ibt.__all__:
            if name.endswith("Options"):
                typed |= set(getattr(ibt, name).__annotations__)
        self.assertEqual(typed, options)

    def test_each_option_calls_its_setter(self):
        values = {"verify_part": (1, 2), "label": {"a": "b"}, "keep_label": {"a": "b"}, "label_filter": {"a": "b"},
                  "as_of": 1, "keep_within": 1, "lock_wait": 1}
        for name, convert in _options._OPTIONS.items():
            for value in [values[name]] if name in values else [True, 1, "text"]:
                try:
                    steps = convert(name, value)
                except TypeError:
                    continue
                self.assertIn(steps[0][0].__name__, (f"ibt_options_set_{name}", f"ibt_options_add_{name}"))
                break
            else:
                self.fail(f"no value for {name}")

    def test_functions_that_may_take_long_let_other_threads_run(self):
        long = set(re.findall(r"(ibt_\w+)\([^;]*ibt_error \*\*[^;]*\);", HEADER))
        self.assertEqual(_lib._BLOCKING, long | {"ibt_snapshot_free", "ibt_storage_free"})
        for name in SYMBOLS:
            keeps_lock = bool(getattr(_lib.lib, name)._flags_ & ctypes._FUNCFLAG_PYTHONAPI)
            self.assertEqual(keeps_lock, name not in _lib._BLOCKING, name)

    def test_each_operation_takes_the_options_that_it_uses(self):
        """The types of options agree with the table in docs/abi.md: "+" means that the operation uses the option."""
        columns = [
            ibt.IncrementOptions, ibt.RestoreOptions, ibt.CompareOptions, ibt.SelectOptions, ibt.VerifyOptions,
            ibt.PruneOptions, ibt.ImportOptions, ibt.WriteOptions, ibt.CommonOptions, ibt.OpenOptions,
        ]
        table = re.search(r"\| `ibt_options_`(.*?)\n\n", read(ROOT, "docs", "abi.md"), re.S)[1]
        wrong = []
        for row in table.splitlines()[2:]:
            names, *cells = [cell.strip() for cell in row.strip("|").split("|")]
            for name in re.findall(r"(?:set|add)_(\w+\*?)", names):
                if name == "keep_*":
                    continue
                for cell, column in zip(cells, columns):
                    # The type of increments has the options of fulls too.
                    uses, has = cell in ("+", "increments", "fulls"), name in column.__annotations__
                    common = name in ibt.CommonOptions.__annotations__
                    if uses and not has or has and not uses and not common:
                        wrong.append((name, column.__name__, cell))
        self.assertEqual(wrong, [])


def c_type(text):
    """The type of ctypes for one of the header."""
    text = text.replace("const ", "").replace(" ", "").strip()
    known = {"char*": ctypes.c_char_p, "ibt_status": ctypes.c_int32, "int32_t": ctypes.c_int32,
             "uint32_t": ctypes.c_uint32, "int64_t": ctypes.c_int64, "uint64_t": ctypes.c_uint64,
             "size_t": ctypes.c_size_t, "void": None}
    if text in known:
        return known[text]
    assert "*" in text or text.endswith("_fn"), text
    return ctypes.c_void_p


class Documentation(unittest.TestCase):
    def test_every_public_name_has_a_docstring(self):
        without = []
        for name in ibt.__all__:
            thing = getattr(ibt, name)
            if name != "STOP" and not own_doc(thing):
                without.append(name)
            if inspect.isclass(thing):
                for member, value in vars(thing).items():
                    function = isinstance(value, (property, staticmethod, classmethod)) or inspect.isfunction(value)
                    if not member.startswith("_") and function and not own_doc(value):
                        without.append(f"{name}.{member}")
        self.assertEqual(without, [])
        self.assertGreater(len(ibt.__doc__), 1000)

    def test_every_field_and_member_is_in_its_docstring(self):
        without = []
        for name in ibt.__all__:
            thing = getattr(ibt, name)
            if not inspect.isclass(thing):
                continue
            names, text = list(vars(thing).get("__annotations__", ())), thing.__doc__
            if name.endswith("Options"):  # described by the class that they are inherited from
                text = " ".join(getattr(ibt, one).__doc__ for one in ibt.__all__ if one.endswith("Options"))
            if issubclass(thing, enum.Enum):
                names += list(thing.__members__)
            names = [one for one in names if not one.startswith("_")]
            without += [f"{name}.{one}" for one in names if not re.search(rf"\b{one}\b", text)]
        self.assertEqual(without, [])

    def test_all_names_what_the_module_has(self):
        public = {name for name, value in vars(ibt).items()
                  if not name.startswith("_") and not inspect.ismodule(value) and name != "annotations"}
        self.assertEqual(public, set(ibt.__all__))
        self.assertEqual(sorted(ibt.__all__), ibt.__all__)

    def test_the_version(self):
        version = re.search(r'^version = "(.*)"', read(ROOT, "Cargo.toml"), re.M)[1]
        self.assertEqual(ibt.__version__, version)
        self.assertEqual(ibt.version(), version)

    def test_lines_are_short(self):
        for directory, _, names in os.walk(PACKAGE):
            for name in names:
                if name.endswith((".py", ".md", ".toml")):
                    for number, line in enumerate(read(directory, name).splitlines(), 1):
                        self.assertLessEqual(len(line), 120, f"{name}:{number}")


def own_doc(thing):
    return (getattr(thing, "__doc__", None) or "").strip()


class Programs(Case):
    def run_python(self, *arguments, **environment):
        environment = {**os.environ, "PYTHONPATH": PACKAGE, "XDG_CACHE_HOME": self.path("cache"), **environment}
        command = [sys.executable, "-X", "dev", "-W", "error", *arguments]
        return subprocess.run(
            command, cwd=self.room, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def test_the_readme(self):
        program = re.search(r"```python\n(.*?)```", read(PACKAGE, "README.md"), re.S)[1]
        self.assertLess(len(program.splitlines()), 20)
        write(self.path("documents/file"), b"text")
        ended = self.run_python("-c", program)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assert_same_trees(self.path("documents"), self.path("restored"))
        self.assertIn("documents", ended.stdout)

    def test_every_program_of_the_readme_compiles(self):
        for program in re.findall(r"```python\n(.*?)```", read(PACKAGE, "README.md"), re.S):
            compile(program, "README.md", "exec")

    def test_the_example(self):
        example = os.path.join(PACKAGE, "examples", "sqlite_storage.py")
        for command in (
            ["backup", "database", "source"], ["backup", "database", "source"],
            ["restore", "database", "source", "restored"], ["list", "database"],
        ):
            ended = self.run_python(example, *command)
            self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertEqual([line.split()[2] for line in ended.stdout.splitlines()], ["full", "incremental"])
        self.assert_same_trees(self.source, self.path("restored"))
        ended = self.run_python(example, "restore", "database", "absent", "dest")
        self.assertEqual(ended.returncode, 1)
        self.assertIn("absent", ended.stderr)
        self.assertNotIn("Traceback", ended.stderr)

    def test_where_libibt_is_found(self):
        library = os.path.realpath(os.environ["IBT_LIBRARY"])
        show = "import ibt; print(ibt.version())"
        self.assertEqual(self.run_python("-c", show).stdout.strip(), ibt.version())
        ended = self.run_python("-c", show, IBT_LIBRARY=self.path("absent"))
        self.assertIn("ImportError: cannot load libibt", ended.stderr)
        self.assertIn("IBT_LIBRARY", ended.stderr)
        ended = self.run_python("-c", show, IBT_LIBRARY="libc.so.6")
        self.assertIn("has no function ibt_version: this package needs a newer libibt", ended.stderr)
        # By its name, where the system finds it.
        os.mkdir(self.path("lib"))
        shutil.copy(library, self.path("lib/libibt.so.0"))
        ended = self.run_python("-c", show, IBT_LIBRARY="", LD_LIBRARY_PATH=self.path("lib"))
        self.assertEqual(ended.stdout.strip(), ibt.version(), ended.stderr)
        # Beside the modules, as in a wheel.
        shutil.copytree(os.path.join(PACKAGE, "ibt"), self.path("packages/ibt"))
        shutil.copy(library, self.path("packages/ibt/libibt.so.0"))
        where = "import ibt._lib; print(ibt._lib.lib.ibt_version and open('/proc/self/maps').read())"
        ended = self.run_python("-c", where, IBT_LIBRARY="", LD_LIBRARY_PATH="", PYTHONPATH=self.path("packages"))
        self.assertIn(self.path("packages/ibt/libibt.so.0"), ended.stdout, ended.stderr)
        # By pkg-config.
        write(self.path("pc/ibt.pc"), f"libdir={self.path('lib')}\nName: ibt\nDescription: x\nVersion: 0\n".encode())
        ended = self.run_python("-c", where, IBT_LIBRARY="", LD_LIBRARY_PATH="", PKG_CONFIG_PATH=self.path("pc"))
        self.assertIn("libibt.so.0", ended.stdout, ended.stderr)
