"""How nbgrader treats this course; ``make classroom`` puts a copy into the course folder."""

from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearOutput,
    DeduplicateIds,
    NbGraderPreprocessor,
    OverwriteCells,
    OverwriteKernelspec,
)

c = get_config()  # noqa: F821 (nbgrader gives it to this file)
c.CourseDirectory.course_id = "raman"
# nbgrader allows 30 s a cell: in one of ours a small network is trained. A cell that takes longer
# is interrupted and fails; the cells after it are run.
c.Execute.timeout = 120
# Whoever asks for more than 6 GB gets a MemoryError, and not the memory of all others.
try:
    import resource
except ImportError:  # Windows has no such limit
    pass
else:
    limit = f"setrlimit({resource.RLIMIT_DATA}, ({6 << 30}, {6 << 30}))"
    c.Execute.extra_arguments = [f"--IPKernelApp.exec_lines=__import__('resource').{limit}"]
# A test cell that a student has deleted comes back, with a note, and is run.
c.OverwriteCells.add_missing_cells = True
# An endless print is cut off.
c.LimitOutput.max_lines = 200
c.LimitOutput.max_traceback = 40


class ForgetDoubles(NbGraderPreprocessor):
    """Of a test cell that a student has copied, nbgrader leaves a mark that it then stumbles on."""

    def preprocess(self, notebook, resources):
        """Take that mark away."""
        for cell in notebook.cells:
            if cell.metadata.get("nbgrader") == {}:
                del cell.metadata["nbgrader"]
        return notebook, resources


c.Autograde.sanitize_preprocessors = [
    ClearOutput,
    DeduplicateIds,
    ForgetDoubles,
    OverwriteKernelspec,
    OverwriteCells,
    CheckCellMetadata,
]
