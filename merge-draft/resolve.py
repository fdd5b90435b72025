import re,sys
# generic: resolve conflict hunks: list of choices per file
def resolve(path, choices):
    t=open(path,encoding='utf-8').read()
    it=iter(choices)
    def f(m):
        c=next(it)
        if c=='both': return m[1]+m[2]
        if c=='ours': return m[1]
        if c=='theirs': return m[2]
        return c
    t=re.sub(r'<<<<<<< HEAD\n(.*?)=======\n(.*?)>>>>>>> main\n',f,t,flags=re.S)
    assert next(it,None) is None,path
    open(path,'w',encoding='utf-8').write(t)
P='FactorizerSegmentation/factorizer_engine/'
resolve('FactorizerSegmentation/CMakeLists.txt',['both']*3)
resolve(P+'cli/options.py',['both' ])
resolve('README.md',["factorizer segment --prepare --model glioma --input DICOM_FOLDER -o out/   # a raw study: chooses series, registers, strips the skull\nfactorizer components --model glioma --input-dir patient/ -o components/\n"])
t=open('docs/evidence.md',encoding='utf-8').read()
m=re.search(r'<<<<<<< HEAD\n(.*?)=======\n(.*?)>>>>>>> main\n',t,re.S)
t=t[:m.start()]+m[2]+'\n'+m[1].replace('## 4. Raw','## 5. Raw')+t[m.end():]
open('docs/evidence.md','w',encoding='utf-8').write(t)
t=open('CHANGELOG.md',encoding='utf-8').read()
m=re.search(r'<<<<<<< HEAD\n(.*?)=======\n(.*?)>>>>>>> main\n',t,re.S)
o=[l for l in m[1].splitlines(True) if not l.startswith('- The command')]
th=m[2].replace('- The command `factorizer`: `segment`, `components`','- The command `factorizer`: `segment`, `prepare`, `components`')
t=t[:m.start()]+''.join(o)+th+t[m.end():]
open('CHANGELOG.md','w',encoding='utf-8').write(t)
resolve(P+'images/files/__init__.py',["""from factorizer_engine.images.files.reading import (
    read_scan,
    read_scans,
    read_volumes,
    split_series,
)
from factorizer_engine.images.files.recognition import is_scan_name
"""])
resolve(P+'protocol/tasks/registry.py',["from factorizer_engine.protocol.tasks.prepare import PREPARE\nfrom factorizer_engine.protocol.tasks.remove_model import REMOVE_MODEL\n","""JOBS: tuple[Task, ...] = (
    *(HELLO, MODELS, INSTALL_MODEL, REMOVE_MODEL),
    *(LOAD_MODEL, CHECK, PREPARE, SEGMENT, COMPONENTS),
)
"""])
resolve(P+'images/preprocessing.py',["""from factorizer_engine.images.intensities import mended
from factorizer_engine.images.resampling import only_changes_place, resample
""","""    In this order: a background that is not zero becomes zero, and single voxels far beyond all
    others are clipped where a model counts nonzero voxels only (see `images.intensities`); axes of
    the reference grid are permuted and flipped to the model's orientation (a sheared grid is
    straightened); it is cropped to the foreground, where any channel is nonzero, plus a margin;
    every channel is normalised by its own voxels there; and these are resampled in physical space
    to the model's spacing, smoothed first along axes that become coarser (see
    `images.resampling.resample`). So voxels are interpolated once. Oblique scans keep their axes.
""","""        given = {index: scan for index, scan in enumerate(scans) if scan is not None}
        if settings.normalization == "zscore_nonzero":  # others do not tell background from image
            given = {index: mended(scan) for index, scan in given.items()}
        placed = {index: resample(scan, grid, "nearest") for index, scan in given.items()}
        box = foreground_box([scan.array for scan in placed.values()], settings.crop_margin)
""","""        array = np.zeros((len(scans), *target.shape), dtype=np.float32)
        for index, scan in given.items():
            exact = only_changes_place(scan.grid, grid)
            source, part = (placed[index], box) if exact else (scan, _box_around(scan.grid, cropped))
            volume = normalize(source.array[part], settings.normalization)
            channel = Scan(volume, source.grid.crop(part))
            array[index] = resample(channel, target, antialias=True).array
            if not np.isfinite(array[index].sum(dtype=np.float64)):
                raise BadInputError(
                    f"{scan.name or 'A scan'} holds numbers too large to compute with; "
                    "export it again, in units of 0 to some thousands."
                )
"""])
resolve(P+'cli/segment.py',["""from factorizer_engine.cli.outputs import folder_of_one_run, results_written_at_once
from factorizer_engine.cli.prepare import expanded, show_steps, write_preparation
from factorizer_engine.cli.results import write_results
""","""from factorizer_engine.protocol.files import output_folder, prepare_output_folder
from factorizer_engine.protocol.lesions import Lesion, Measures
from factorizer_engine.protocol.preparation import PreparationOptions
""","both","""    if studies is not None:
        if inputs or input_dir is not None or box is not None or overwrite or prepare:
            raise BadInputError(
                "--studies names all scans and keeps what is done; leave out --input, --input-dir, "
                "--box, --prepare and --overwrite."
            )
        with output_folder(output) as folder:
            return segment_studies(
                *(studies, choice, applied, reference, probabilities, folder, workers, scheduler)
            )
    if workers is not None or scheduler is not None:
        raise BadInputError("--workers and --scheduler are for many studies; give --studies.")
    if prepare and input_dir is not None and not inputs:
        inputs, input_dir = [str(input_dir)], None
    assign = assign_raw_study if prepare else assign_study
    with (
        folder_of_one_run(output, overwrite) as folder,
        open_session(choice, inputs, input_dir, reference, assign=assign) as session,
    ):
        channel, scan = session.reference(reference)
        prepare_output_folder(folder, _space_needed(session, scan, probabilities))
        prepared = None
        if prepare:
            prepared = session.prepare(channel, PreparationOptions(bias_field=n4))
            show_steps(prepared)
            session = session.with_prepared(prepared)
        session.check(channel, applied, strict)
        result = session.run(SEGMENT, channel, applied, probabilities=probabilities)
        record = session.record("segment", channel, applied)
        with results_written_at_once(folder, overwrite) as unfinished:
            if prepared:
                write_preparation(session, prepared, channel, unfinished)
            write_results(result, record, unfinished)
    TERMINAL.print(record.table())
"""])
t=open(P+'cli/segment.py').read()
t=t.replace("from factorizer_engine.cli.prepare import expanded, show_steps, write_preparation","from factorizer_engine.cli.prepare import assign_raw_study, show_steps, write_preparation").replace("import Session, open_session, run_options","import Session, assign_study, open_session, run_options").replace("from functools import partial\n","")
t=t.replace("    if studies is not None:\n","    if n4 and not prepare:\n        raise BadInputError(\"--n4 is a part of the preparation; give --prepare, too.\")\n    if studies is not None:\n",1)
open(P+'cli/segment.py','w').write(t)
p=P+'cli/session.py'
t=open(p).read()
parts=re.findall(r'<<<<<<< HEAD\n(.*?)=======\n(.*?)>>>>>>> main\n',t,re.S)
for i,(a,b) in enumerate(parts): print(i,repr(a[:80]),repr(b[:80]))
prep=parts[1][0].split("    def reference(")[0]
resolve(p,['both',prep+parts[1][1],'theirs',
"    reference: str | None = None,\n    region: str | None = None,\n    assign: Assignment | None = None,\n",
"        reference: Channel that is going to be asked for, or None.\n        region: Region that is going to be asked for, or None.\n        assign: Finds the file of each channel; `assign_study` by default.\n",
parts[5][1].replace("assign_study(candidates, model)","(assign or assign_study)(candidates, model)"),'theirs','theirs','theirs'])
t=open(p).read()
t=t.replace('Assignment = Callable[[Sequence[str], Sequence[Channel]], "dict[str, Path | str]"]','Assignment = Callable[[Sequence[str], ModelDescription], "dict[str, Path | str]"]')
open(p,'w').write(t)
p=P+'cli/outputs.py'
t=open(p).read()
t=t.replace('''    r"components\\.json|component_\\d+\\.nii\\.gz|" + re.escape(RECORD)
)
"""What `segment` and `components` write;''','''    r"components\\.json|component_\\d+\\.nii\\.gz|preparation\\.(json|html)|brain_mask\\.nii\\.gz|"
    + re.escape(RECORD)
)
"""What `segment`, `components` and `prepare` write, but for the scans that `prepare` names by channel;''')
open(p,'w').write(t)
