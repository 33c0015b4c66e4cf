"""glTF files, opened again by pygltflib and put together as the specification says."""

from functools import cache

import numpy as np
import pygltflib
import pytest
from scipy.spatial.transform import Rotation, Slerp

from posemamba.export import write_gltf
from tests.export.bodies import constant, man, people, placed

JOINTS = (
    "Hips",
    "RightUpLeg",
    "RightLeg",
    "RightFoot",
    "LeftUpLeg",
    "LeftLeg",
    "LeftFoot",
    "Spine",
    "Chest",
    "Head",
)
JOINTS += ("HeadTop", "LeftArm", "LeftForeArm", "LeftHand", "RightArm", "RightForeArm", "RightHand")
KINDS = {5126: "<f4", 5121: "u1"}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Scene:
    """A .glb at any time: the nodes' matrices in the world."""

    def __init__(self, path):
        self.gltf = pygltflib.GLTF2().load(str(path))
        self.names = [node.name for node in self.gltf.nodes]
        self.parents = {child: at for at, node in enumerate(self.gltf.nodes) for child in node.children or ()}
        (animation,) = self.gltf.animations
        self.tracks = {}
        for channel in animation.channels:
            sampler = animation.samplers[channel.sampler]
            values = self.array(sampler.input)[:, 0], self.array(sampler.output), sampler.interpolation
            self.tracks[channel.target.node, channel.target.path] = values

    def array(self, index):
        accessor = self.gltf.accessors[index]
        view, kind = self.gltf.bufferViews[accessor.bufferView], KINDS[accessor.componentType]
        count = accessor.count * WIDTHS[accessor.type]
        flat = np.frombuffer(
            self.gltf.binary_blob(), kind, count, view.byteOffset + (accessor.byteOffset or 0)
        )
        return flat.reshape(accessor.count, -1)

    def value(self, node, path, time, default):
        if (node, path) not in self.tracks:
            return np.array(getattr(self.gltf.nodes[node], path) or default, dtype=float)
        times, values, how = self.tracks[node, path]
        time = np.clip(time, times[0], times[-1])
        if how == "STEP":
            return values[np.searchsorted(times, time, side="right") - 1].astype(float)
        if path == "rotation" and len(times) > 1:
            return Slerp(times, Rotation.from_quat(values))(time).as_quat()
        return np.array([np.interp(time, times, column) for column in values.T])

    @cache  # noqa: B019
    def matrix(self, node, time):
        matrix = np.eye(4)
        turn = Rotation.from_quat(self.value(node, "rotation", time, (0, 0, 0, 1))).as_matrix()
        matrix[:3, :3] = turn * self.value(node, "scale", time, (1, 1, 1))
        matrix[:3, 3] = self.value(node, "translation", time, (0, 0, 0))
        return self.matrix(self.parents[node], time) @ matrix if node in self.parents else matrix

    def matrices(self, nodes, time):
        return np.stack([self.matrix(node, np.float32(time)) for node in nodes])

    def skin(self, name):
        return next(skin for skin in self.gltf.skins if skin.name == name)

    def joints(self, name, time):
        """The 17 joints' places in metres."""
        by_name = {self.names[node]: node for node in self.skin(name).joints}
        return self.matrices([by_name[joint] for joint in JOINTS], time)[:, :3, 3]

    def vertices(self, name, time):
        """The mesh's corners by side, moved by the skin."""
        skin, sides = self.skin(name), []
        mesh = next(mesh for mesh in self.gltf.meshes if mesh.name == name)
        bind = self.array(skin.inverseBindMatrices).reshape(-1, 4, 4).swapaxes(1, 2)
        moves = self.matrices(skin.joints, time) @ bind
        for primitive in mesh.primitives:
            attributes = primitive.attributes
            corners, owners = self.array(attributes.POSITION), self.array(attributes.JOINTS_0)
            weights = self.array(attributes.WEIGHTS_0)
            np.testing.assert_array_equal(weights.sum(1), 1)
            blend = np.einsum("vk,vkij->vij", weights, moves[owners])
            sides.append(
                np.einsum("vij,vj->vi", blend, np.pad(corners, ((0, 0), (0, 1)), constant_values=1))[:, :3]
            )
        return sides


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    path = tmp_path_factory.mktemp("gltf") / "motion.glb"
    write_gltf(people(), path)
    return Scene(path)


def test_joints_come_back_with_bones_of_constant_length(scene):
    for body in people():
        name, wanted = f"person_{body.track}_from_{body.start}", constant(body.joints) / 1000
        for frame in (0, 4, len(body) - 1):
            found = scene.joints(name, (body.start + frame) / 30)
            np.testing.assert_allclose(found - found[0], wanted[frame], atol=2e-5)


def test_the_raised_hand_is_the_right_one_and_left_is_left(scene):
    found = dict(zip(JOINTS, scene.joints("person_7_from_0", 0), strict=True))
    assert found["RightHand"][1] > found["HeadTop"][1] > found["LeftHand"][1] > found["Hips"][1]
    assert found["LeftUpLeg"][0] > found["RightUpLeg"][0] + 0.1 and found["Head"][2] > found["Chest"][2]
    right, left = scene.vertices("person_7_from_0", 0)
    assert right[:, 1].max() > 0.2 + left[:, 1].max()
    # In the light colour: the left arm and leg, which end in the left hand and foot.
    for joint in ("LeftHand", "LeftFoot"):
        assert (
            np.linalg.norm(left - found[joint], axis=1).min()
            < 1e-5
            < np.linalg.norm(right - found[joint], axis=1).min()
        )


def test_the_skin_lies_around_the_bones_and_shows_its_outside(scene):
    for time in (0.0, 1.3):
        joints, triangles = (
            scene.joints("person_7_from_0", time),
            np.concatenate(scene.vertices("person_7_from_0", time)),
        )
        assert (np.abs(triangles[:, None] - joints).min(1) < 0.2).all()
        shapes = triangles.reshape(-1, 8, 3, 3)
        assert len(shapes) == 16
        normals = np.cross(shapes[:, :, 1] - shapes[:, :, 0], shapes[:, :, 2] - shapes[:, :, 0])
        outward = shapes.mean(2) - shapes.mean((1, 2))[:, None]
        assert ((normals * outward).sum(-1) > 0).all()


def test_one_time_line_shows_each_in_his_frames_alone(scene):
    def size(name, frame):
        return scene.matrix(scene.names.index(name), np.float32(frame / 30))[0, 0]

    for name, first, end in (
        ("person_2_from_20", 20, 50),
        ("person_7_from_0", 0, 60),
        ("person_7_from_75", 75, 85),
    ):
        seen = [frame for frame in range(85) if size(name, frame) == 1]
        assert seen == list(range(first, end))
    # The man stands at the right of the woman, as in the image, and where he stood before.
    places = {body: scene.joints(body, 1)[0, 0] for body in ("person_2_from_20", "person_7_from_0")}
    assert places["person_7_from_0"] - places["person_2_from_20"] == pytest.approx(1.5)
    assert scene.joints("person_7_from_75", 2.6)[0, 0] == places["person_7_from_0"]


def test_placed_bodies_are_where_the_camera_saw_them(tmp_path):
    write_gltf(placed(), tmp_path / "motion.glb")
    scene = Scene(tmp_path / "motion.glb")
    for body in placed():
        found = scene.joints(f"person_{body.track}_from_{body.start}", (body.start + 10) / 30)[0]
        np.testing.assert_allclose(found * 1000, body.root[10] * (1, -1, -1), atol=0.01)


def test_the_file_is_what_the_specification_asks_for(scene, tmp_path):
    gltf = scene.gltf
    assert gltf.asset.version == "2.0" and len(gltf.buffers[0].uri or "") == 0
    assert gltf.buffers[0].byteLength == len(gltf.binary_blob())
    for view in gltf.bufferViews:
        assert view.byteOffset % 4 == 0 and view.byteOffset + view.byteLength <= gltf.buffers[0].byteLength
    for index, accessor in enumerate(gltf.accessors):
        if accessor.min:
            np.testing.assert_array_equal(scene.array(index).min(0), np.float32(accessor.min))
            np.testing.assert_array_equal(scene.array(index).max(0), np.float32(accessor.max))
    for (_, path), (times, values, _) in scene.tracks.items():
        assert (np.diff(times) > 0).all() and len(times) == len(values)
        assert path != "rotation" or np.abs(np.linalg.norm(values, axis=1) - 1).max() < 1e-5
    write_gltf([man()], tmp_path / "one.glb")
    assert (tmp_path / "one.glb").stat().st_size < 60 * 18 * 16 + 60_000
