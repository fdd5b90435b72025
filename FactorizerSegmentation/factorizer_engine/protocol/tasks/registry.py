"""All tasks."""

from __future__ import annotations

from factorizer_engine.protocol.tasks.cancel import CANCEL
from factorizer_engine.protocol.tasks.check import CHECK
from factorizer_engine.protocol.tasks.components import COMPONENTS
from factorizer_engine.protocol.tasks.export_dicom import EXPORT_DICOM
from factorizer_engine.protocol.tasks.follow_up import FOLLOW_UP
from factorizer_engine.protocol.tasks.hello import HELLO
from factorizer_engine.protocol.tasks.install_model import INSTALL_MODEL
from factorizer_engine.protocol.tasks.load_model import LOAD_MODEL
from factorizer_engine.protocol.tasks.measure import MEASURE
from factorizer_engine.protocol.tasks.models import MODELS
from factorizer_engine.protocol.tasks.prepare import PREPARE
from factorizer_engine.protocol.tasks.refine import REFINE
from factorizer_engine.protocol.tasks.remove_model import REMOVE_MODEL
from factorizer_engine.protocol.tasks.report import REPORT
from factorizer_engine.protocol.tasks.segment import SEGMENT
from factorizer_engine.protocol.tasks.shutdown import SHUTDOWN
from factorizer_engine.protocol.tasks.task import Task

JOBS: tuple[Task, ...] = (
    HELLO,
    MODELS,
    INSTALL_MODEL,
    REMOVE_MODEL,
    LOAD_MODEL,
    CHECK,
    PREPARE,
    SEGMENT,
    REFINE,
    MEASURE,
    COMPONENTS,
    EXPORT_DICOM,
    REPORT,
    FOLLOW_UP,
)
"""Those for which the engine has a job."""

ABOUT_THIS_COMPUTER = (MODELS, INSTALL_MODEL, REMOVE_MODEL, EXPORT_DICOM)
"""Those that an engine on another machine leaves to one here: they are about files here."""

TASKS: dict[str, Task] = {task.name: task for task in (*JOBS, CANCEL, SHUTDOWN)}
"""All, by name."""
