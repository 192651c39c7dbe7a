"""Prints the scalars and texts of an event file or folder as JSON, as TensorBoard itself reads them.

Usage: python tests/interop/tensorboard_check.py PATH    (needs the package tensorboard)
"""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    events = EventAccumulator(sys.argv[1])
    events.Reload()
    tags = events.Tags()
    scalars = {tag: [{"step": e.step, "wall_time": e.wall_time, "value": e.value} for e in events.Scalars(tag)] for tag in tags["scalars"]}
    texts = {}
    for tag in tags["tensors"]:
        if events.SummaryMetadata(tag).plugin_data.plugin_name == "text":
            texts[tag] = [{"step": e.step, "text": [part.decode() for part in e.tensor_proto.string_val]} for e in events.Tensors(tag)]
    json.dump({"file_version": events.file_version, "scalars": scalars, "texts": texts}, sys.stdout, indent=2)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
