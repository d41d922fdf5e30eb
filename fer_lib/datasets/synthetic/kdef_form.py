"""Generated faces as KDEF's tree: two sessions, seven expressions and five angles of every person, in colour."""

import itertools

import numpy as np

from fer_lib.datasets.synthetic.drawing import as_jpeg, draw_all
from fer_lib.datasets.synthetic.expressions import random_expression
from fer_lib.datasets.synthetic.people import random_person, studio_light, studio_pose
from fer_lib.datasets.synthetic.portrait import draw_face, expose

SIZE = (562, 762)
MOST_PEOPLE = 35
FOLDER = "KDEF_and_AKDEF/KDEF"
SESSIONS, SEXES = "AB", "FM"
EXPRESSION_CODES = {
    "AF": "fear",  # KDEF calls it afraid
    "AN": "angry",
    "DI": "disgust",
    "HA": "happy",
    "NE": "neutral",
    "SA": "sad",
    "SU": "surprise",
}
# Full left, half left, straight, half right, full right. A left profile shows the person's left cheek, so the nose
# points to the picture's left.
YAWS = {"FL": -90, "HL": -45, "S": 0, "HR": 45, "FR": 90}
MISNAMED = {"AF31SAHL": "AF31V", "AM31SUHR": "AM31H"}
BLACK = {
    *("AF01SUFR", "AF10AFFR", "AF11NEHL", "AF20DIHL", "AM25DIFL"),
    *("AM34DIFR", "BF13NEHR", "BM21DIFL", "BM22DIHL", "BM24DIFL"),
}


def write_tree(path, arguments, processes):
    """Writes `KDEF_and_AKDEF/KDEF/AF01/AF01AFFL.JPG` and so on under the folder `path`."""
    jobs = [
        (arguments["seed"], tuple(arguments["size"]), *parts)
        for parts in itertools.product(SESSIONS, SEXES, range(1, arguments["people"] + 1), EXPRESSION_CODES, YAWS)
    ]
    black = as_jpeg(np.zeros((*arguments["size"][::-1], 3), np.uint8))
    for job, jpeg in zip(jobs, draw_all(draw_jpeg, jobs, processes), strict=True):
        _, _, session, sex, number, expression, angle = job
        name = f"{session}{sex}{number:02d}{expression}{angle}"
        folder = path / FOLDER / name[:4]
        folder.mkdir(parents=True, exist_ok=True)
        if arguments["flaws"]:
            jpeg = black if name in BLACK else jpeg
            name = MISNAMED.get(name, name)
        (folder / f"{name}.JPG").write_bytes(jpeg)


def draw_jpeg(job):
    """JPEG bytes of one picture; `job` is (seed, size, session, sex, number, expression code, angle)."""
    seed, size, session, sex, number, code, angle = job
    who = SEXES.index(sex), number
    person = random_person(np.random.default_rng((seed, 3, *who)), sex)
    # A session's five angles show one and the same expression.
    sitting = SESSIONS.index(session), list(EXPRESSION_CODES).index(code)
    shared = np.random.default_rng((seed, 4, *who, *sitting))
    units = random_expression(shared, EXPRESSION_CODES[code], intensity=shared.uniform(0.65, 1.0))
    rng = np.random.default_rng((seed, 5, *who, *sitting, list(YAWS).index(angle)))
    pose = studio_pose(rng, YAWS[angle])
    image = draw_face(person, units, pose, size, "studio", side_light=rng.uniform(-0.4, 0.4))
    return as_jpeg(expose(image, studio_light(rng), rng))
