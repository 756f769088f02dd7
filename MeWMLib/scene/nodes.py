"""Volumes to MRML volume nodes and back, with exact geometry."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import GeometryError, NotCTError
from MeWMLib.core.volume import PHASES, Geometry, Provenance, Volume
from MeWMLib.scene.core_app import numpy_support, vtk

#: How CTs are shown: lipiodol is white, and a lesion that is 40 HU darker than liver can still be seen.
CT_WINDOW, CT_LEVEL = 450.0, 125.0
SIMULATED = "SIMULATED"
#: Every node attribute of ours begins with this.
PREFIX = "MeWM."


def matrix_to_vtk(matrix: NDArray[np.float64]) -> Any:
    """Return a (4, 4) array as a `vtkMatrix4x4`."""
    result = vtk.vtkMatrix4x4()
    for row in range(4):
        for column in range(4):
            result.SetElement(row, column, float(matrix[row, column]))
    return result


def matrix_from_vtk(matrix: Any) -> NDArray[np.float64]:
    """Return a `vtkMatrix4x4` as a (4, 4) float64 array."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def image_of_array(array: NDArray[Any], image_class: Any = None) -> Any:
    """Copy an array (K, J, I) into a new VTK image with origin 0 and spacing 1, as MRML keeps it.

    No scene and no pipeline knows the new image, so it may be made on a thread. numpy copies the voxels, which lets
    other threads run meanwhile (VTK's own copy does not); VTK then holds on to numpy's memory.

    Types that VTK does not have are widened without loss: bool to uint8, float16 to float32.
    """
    kind = {np.dtype(bool): np.dtype(np.uint8), np.dtype(np.float16): np.dtype(np.float32)}.get(
        array.dtype, array.dtype.newbyteorder("=")
    )
    copied = np.array(array, dtype=kind, order="C", copy=True)
    scalars = numpy_support.numpy_to_vtk(copied.reshape(-1), deep=False)
    scalars.SetName("ImageScalars")
    image = (image_class or vtk.vtkImageData)()
    image.SetDimensions(array.shape[::-1])
    image.GetPointData().SetScalars(scalars)
    return image


def scalars_of_image(image: Any) -> NDArray[Any]:
    """The voxels of a one-component VTK image as an array (K, J, I) over VTK's memory: read it, never write to it."""
    return numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def array_of_image(image: Any) -> NDArray[Any]:
    """Copy the voxels of a one-component VTK image as an array (K, J, I)."""
    return np.array(scalars_of_image(image))


def set_provenance(node: Any, provenance: Provenance) -> None:
    """Mark a node as simulated and write where it comes from into its attributes."""
    for key, value in {
        "Simulated": "1",
        "Protocol": provenance.protocol,
        "Seed": str(provenance.seed),
        "Bundle": provenance.bundle,
        "BundleSha256": provenance.bundle_sha256,
        "Versions": json.dumps(provenance.versions, sort_keys=True),
    }.items():
        node.SetAttribute(PREFIX + key, value)


def get_provenance(node: Any) -> Provenance | None:
    """Return what `set_provenance` wrote; None for a node that is not marked as simulated."""
    if node.GetAttribute(PREFIX + "Simulated") != "1":
        return None
    text = {
        key: node.GetAttribute(PREFIX + key) or "" for key in ("Protocol", "Seed", "Bundle", "BundleSha256", "Versions")
    }
    return Provenance(
        protocol=text["Protocol"],
        seed=int(text["Seed"] or 0),
        bundle=text["Bundle"],
        bundle_sha256=text["BundleSha256"],
        versions=json.loads(text["Versions"] or "{}"),
    )


def volume_to_node(scene: Any, volume: Volume, name: str, image: Any = None) -> Any:
    """Add a volume to a scene as a scalar volume node, shown in the CT window.

    Args:
        scene: a `vtkMRMLScene` (in Slicer: `slicer.mrmlScene`).
        volume: copied; a simulated one gets "SIMULATED" into its name and its provenance into the attributes.
        name: name of the node.
        image: `image_of_array(volume.array)` where a thread has made it before; the node takes it.

    Returns:
        The new `vtkMRMLScalarVolumeNode`.
    """
    if volume.simulated is not None and SIMULATED not in name:
        name = f"{SIMULATED} {name}"
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    # before the voxels come: a display node that sees them first works out a window from their histogram
    node.CreateDefaultDisplayNodes()
    show_in_window(node, CT_WINDOW, CT_LEVEL, "vtkMRMLColorTableNodeGrey")
    fill_volume_node(node, volume, image)
    return node


def fill_volume_node(node: Any, volume: Volume, image: Any = None) -> None:
    """Write voxels, geometry, phase and provenance of a volume into a volume node; `image` as `volume_to_node`."""
    modified = node.StartModify()
    node.SetIJKToRASMatrix(matrix_to_vtk(volume.geometry.affine))
    node.SetAndObserveImageData(image if image is not None else image_of_array(volume.array))
    node.SetAttribute(PREFIX + "Phase", volume.phase)
    if volume.simulated is not None:
        set_provenance(node, volume.simulated)
    node.EndModify(modified)


def show_in_window(node: Any, window: float, level: float, colour_node_id: str | None = None) -> None:
    """Set window and level (HU), and the colour table, of a volume node that has a display node."""
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(window, level)
    if colour_node_id is not None:
        display.SetAndObserveColorNodeID(colour_node_id)


def node_geometry(node: Any) -> Geometry:
    """Return the grid of a volume node.

    Raises:
        GeometryError: the node lies under a transform, holds no voxels, or its grid cannot be used.
    """
    if node.GetParentTransformNode() is not None:
        raise GeometryError(
            what="The volume lies under a transform",
            given=f"{node.GetName()} under {node.GetParentTransformNode().GetName()}",
            remedy="Harden the transform (right click in the Data module) or take the volume out of it",
        )
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None:
        raise GeometryError(what="The volume holds no voxels", given=str(node.GetName()), remedy="Load it again")
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return Geometry(image.GetDimensions()[::-1], matrix_from_vtk(matrix))


@dataclass(frozen=True, eq=False)
class HeldVolume:
    """A volume node as it is now, taken without copying its voxels; `read` copies them, on any thread.

    It holds VTK's image, so the node may be deleted meanwhile.
    """

    image: Any
    geometry: Geometry
    phase: str
    simulated: Provenance | None

    def read(self) -> Volume:
        """Copy the voxels.

        Raises:
            NotCTError: values that no CT holds.
        """
        return Volume(array_of_image(self.image), self.geometry, self.phase, self.simulated)


def hold_volume(node: Any) -> HeldVolume:
    """Take hold of a scalar volume node; takes no time.

    Raises:
        GeometryError: the node lies under a transform, holds no voxels, or its grid cannot be used.
        NotCTError: more than one value a voxel.
    """
    geometry = node_geometry(node)
    image = node.GetImageData()
    if image.GetNumberOfScalarComponents() != 1:
        raise NotCTError(
            what="A CT has one value a voxel",
            given=f"{node.GetName()} with {image.GetNumberOfScalarComponents()}",
            remedy="Choose a scalar CT volume",
        )
    phase = node.GetAttribute(PREFIX + "Phase") or "unknown"
    return HeldVolume(image, geometry, phase if phase in PHASES else "unknown", get_provenance(node))


def node_to_volume(node: Any) -> Volume:
    """Copy a scalar volume node into a `Volume`; geometry and voxels are exact.

    Raises:
        GeometryError: the node lies under a transform, holds no voxels, or its grid cannot be used.
        NotCTError: more than one value a voxel, or values that no CT holds.
    """
    return hold_volume(node).read()
