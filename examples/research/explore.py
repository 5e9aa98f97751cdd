"""An export of Tidemark with pandas, DuckDB and matplotlib: check it, see what is missing, plot it, resample it.

    tidemark export -o export
    python explore.py export --device k7 --metric heart-rate

The cells (`# %%`) run one by one in VS Code, Spyder or Jupyter (jupytext).
"""

# %% Where the export is, and what to look at
import argparse
import hashlib
import json
import sys
from pathlib import Path

import duckdb
import matplotlib

if "ipykernel" not in sys.modules:
    matplotlib.use("Agg")  # pictures into files; a notebook shows them too
import matplotlib.dates
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("export", type=Path, nargs="?", default=Path("export"), help="the folder that tidemark export wrote, as Parquet")
parser.add_argument("--device", help="the one with the most readings where it is left out")
parser.add_argument("--metric", default="heart-rate")
parser.add_argument("--width", default="5min", help="of the resampled series")
parser.add_argument("--pictures", type=Path, default=Path("pictures"))
# A notebook's own arguments are not ours: there, write them into this list, such as ["../export", "--device", "k7"].
in_notebook = "ipykernel" in sys.modules
args = parser.parse_args([] if in_notebook else None)
if not (args.export / "manifest.json").exists():
    sys.exit(f"{args.export.resolve()} holds no export: run tidemark export -o export, and name the folder that it wrote")
args.pictures.mkdir(parents=True, exist_ok=True)

# %% Is it whole, and is it what was written? Every file has the size and the SHA-256 of the manifest
manifest = json.loads((args.export / "manifest.json").read_text())
if not manifest["complete"]:
    sys.exit("the export is not complete: run the same tidemark export again, it goes on")
if manifest["question"]["format"] != "parquet":
    sys.exit("this script reads Parquet: tidemark export --format parquet")


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


for file in manifest["files"]:
    path = args.export / file["name"]
    if path.stat().st_size != file["bytes"] or sha256(path) != file["sha256"]:
        sys.exit(f"{path} is not what the manifest says")
as_of = manifest["asOf"]
print(f"{len(manifest['files'])} files are as the manifest says: {manifest['rows']:,} readings of {manifest['log']['origin']},")
print(f"sealed up to block {as_of['height']}, tree of {as_of['treeSize']:,} leaves, root {as_of['root']}")

# %% DuckDB reads all files at once, and only the columns that are asked for. The counts must be the manifest's
db = duckdb.connect()
db.sql("set timezone = 'UTC'")
files = [str(args.export / file["name"]) for file in manifest["files"]]
db.read_parquet(files, filename=True).create_view("readings")
counts = dict(db.sql("select parse_filename(filename), count(*) from readings group by all").fetchall())
for file in manifest["files"]:
    if counts.get(file["name"], 0) != file["rows"]:
        sys.exit(f"{file['name']} has {counts.get(file['name'], 0)} rows, and not {file['rows']}")
print("each file has the rows that the manifest says\n")

# %% What is there
overview = db.sql("""
    select device, metric, any_value(unit) as unit, count(*) as readings,
           min(time) as first, max(time) as last,
           round(100.0 * count(*) filter (mode = 'backfill') / count(*), 1) as "backfill %"
    from readings group by device, metric order by device, metric
""").df()
print(overview.to_string(index=False), "\n")
if not (overview["metric"] == args.metric).any():
    sys.exit(f"there is no {args.metric} in this export")
device = args.device or overview[overview["metric"] == args.metric].sort_values("readings")["device"].iloc[-1]

# %% One series. Times may repeat (two packs said the same): the first that arrived is kept, and the rest counted
series = db.execute(
    """
    select time, value, unit, arrived, latenessSeconds, mode from readings
    where device = ? and metric = ? and value is not null order by time, arrived
    """,
    [device, args.metric],
).df()
if len(series) < 5:
    sys.exit(f"there are too few readings of {args.metric} of {device}")
repeated = int(series.duplicated("time").sum())
series = series.drop_duplicates("time").reset_index(drop=True)
unit = series["unit"].iloc[0]

# %% Gaps by the metric's own rhythm, as tidemark coverage tells them: over 1.8 times the median spacing, and 5 s more
seconds = (series["time"] - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
spacing = seconds.diff()
rhythm = float(spacing[spacing > 0].median())
gap_after = max(1.8 * rhythm, rhythm + 5)
is_after_gap = spacing > gap_after
missing = float((spacing[is_after_gap] - rhythm).sum())
print(f"{args.metric} of {device}: {len(series):,} readings ({repeated} repeated), one every {rhythm:g} s,")
print(f"{int(is_after_gap.sum())} gaps, {missing / 3600:.1f} h missing in them; tidemark coverage {device} says why\n")

# %% Coverage: which share of each hour the readings cover
runs = is_after_gap.cumsum()
hours = pd.date_range(series["time"].iloc[0].floor("D"), series["time"].iloc[-1].ceil("D"), freq="h", inclusive="left")
starts = (hours - pd.Timestamp(0, tz="UTC")).total_seconds().to_numpy()
covered = np.zeros(len(hours))
for _, run in seconds.groupby(runs):
    begin, end = run.iloc[0], run.iloc[-1] + rhythm
    overlap = np.minimum(end, starts + 3600) - np.maximum(begin, starts)
    covered += np.clip(overlap, 0, None)
by_day = pd.DataFrame({"day": hours.date, "hour": hours.hour, "share": np.clip(covered / 3600, 0, 1)})
table = by_day.pivot(index="day", columns="hour", values="share")
fig, ax = plt.subplots(figsize=(8, 1.2 + 0.28 * len(table)), layout="constrained")
image = ax.imshow(table, aspect="auto", vmin=0, vmax=1, cmap="viridis")
ax.set_yticks(range(len(table)), [str(day) for day in table.index])
ax.set_xticks(range(0, 24, 3))
ax.set_xlabel("hour (UTC)")
ax.set_title(f"{args.metric} of {device}: covered share of each hour")
fig.colorbar(image, ax=ax, ticks=[0, 0.5, 1])
fig.savefig(args.pictures / "coverage.png", dpi=100)

# %% The series: a line breaks at each gap (nothing is stitched), and what came late is marked
line = series["value"].astype(float)
broken = pd.concat([
    pd.DataFrame({"time": series["time"], "value": line}),
    # A row without a value in each gap: matplotlib draws no line over it.
    pd.DataFrame({"time": series["time"][is_after_gap] - pd.Timedelta(seconds=rhythm), "value": np.nan}),
]).sort_values("time", kind="stable")
fig, ax = plt.subplots(figsize=(10, 3.6), layout="constrained")
ax.plot(broken["time"], broken["value"], linewidth=0.6, color="0.7", zorder=1)
for mode, color in {"live": "tab:blue", "backfill": "tab:orange"}.items():
    of_mode = series[series["mode"] == mode]
    label = f"{mode} ({len(of_mode):,})"
    ax.plot(of_mode["time"], of_mode["value"], ".", markersize=1.8, color=color, label=label)
for at in np.flatnonzero(is_after_gap):
    ax.axvspan(series["time"][at - 1] + pd.Timedelta(seconds=rhythm), series["time"][at], color="0.9", linewidth=0)
ax.xaxis.set_major_formatter(matplotlib.dates.ConciseDateFormatter(ax.xaxis.get_major_locator()))
ax.set_ylabel(f"{args.metric} ({unit})" if unit else args.metric)
ax.set_title(f"{device}: gaps in grey, sealed up to block {as_of['height']}")
ax.legend(loc="upper right", markerscale=6, framealpha=0.9)
fig.savefig(args.pictures / "series.png", dpi=100)

# %% Resampling that respects gaps: a bin has a mean only where at least half of it is covered; nothing is interpolated
width = pd.Timedelta(args.width)
bins = series.set_index("time")["value"].resample(width)
resampled = pd.DataFrame({"mean": bins.mean(), "readings": bins.count()})
resampled["covered"] = (resampled["readings"] * rhythm / width.total_seconds()).clip(upper=1)
resampled.loc[resampled["covered"] < 0.5, "mean"] = np.nan
print(f"{int(resampled['mean'].notna().sum()):,} of {len(resampled):,} bins of {args.width} are covered by half or more")
print(resampled.dropna().head(3).to_string(), "\n")

# %% The same by SQL, for what does not fit into memory
db.execute(
    f"""
    copy (
        select time_bucket(interval '{int(width.total_seconds())} seconds', time) as bin, avg(value) as mean, count(*) as readings
        from readings where device = ? and metric = ? group by bin order by bin
    ) to '{args.pictures / "resampled.csv"}' (header)
    """,
    [device, args.metric],
)
print(f"pictures and resampled.csv are in {args.pictures}")
