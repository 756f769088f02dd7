"""Volumes to MRML volume nodes and back, with exact geometry."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import GeometryError, NotCTError, UnreadableFileError
from MeWMLib.core.records import dump_json, parse_json
from MeWMLib.core.structures import VIEW_LEVEL_HU, VIEW_WINDOW_HU
from MeWMLib.core.volume import PHASES, Geometry, Provenance, Volume
from MeWMLib.scene.core_app import numpy_support, vtk

SIMULATED = "SIMULATED"
#: What is written on every picture of a simulated CT.
SIMULATED_MARK = "SIMULATED \N{EM DASH} research use only"
#: Every node attribute of ours begins with this.
PREFIX = "MeWM."


def matrix_to_vtk(matrix: NDArray[np.float64]) -> Any:
    """Return a (4, 4) array as a `vtkMatrix4x4`."""
    result = vtk.vtkMatrix4x4()
    result.DeepCopy(np.asarray(matrix, dtype=np.float64).ravel())
    return result


def matrix_from_vtk(matrix: Any) -> NDArray[np.float64]:
    """Return a `vtkMatrix4x4` as a (4, 4) float64 array."""
    return np.array(matrix.GetData()).reshape(4, 4)


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


def _attribute(field: str) -> str:
    """The attribute that a field of a provenance is written to, such as MeWM.BundleSha256."""
    return PREFIX + field.title().replace("_", "")


def set_provenance(node: Any, provenance: Provenance) -> None:
    """Mark a node as simulated and write where it comes from into its attributes."""
    values = {**provenance.to_json(), "simulated": 1, "versions": dump_json(provenance.versions)}
    for name, value in values.items():
        node.SetAttribute(_attribute(name), str(value))


def get_provenance(node: Any) -> Provenance | None:
    """Return what `set_provenance` wrote; None for a node that is not marked as simulated."""
    if node.GetAttribute(PREFIX + "Simulated") != "1":
        return None
    text = {field.name: node.GetAttribute(_attribute(field.name)) or "" for field in fields(Provenance)}
    versions = parse_json(text["versions"] or "{}", f"The note on versions of {node.GetName()}", UnreadableFileError)
    return Provenance(
        text["protocol"], int(text["seed"] or 0), text["bundle"], text["bundle_sha256"], versions, text["forbidden"]
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
    show_in_window(node, VIEW_WINDOW_HU, VIEW_LEVEL_HU, "vtkMRMLColorTableNodeGrey")
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
        GeometryError: the node is under a transform, holds no voxels, or its grid cannot be used.
    """
    if node.GetParentTransformNode() is not None:
        raise GeometryError(
            what="The volume is under a transform",
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
        return Volume(np.array(scalars_of_image(self.image)), self.geometry, self.phase, self.simulated)


def hold_volume(node: Any) -> HeldVolume:
    """Hold on to the voxels of a scalar volume node as they are now; takes no time.

    Raises:
        GeometryError: the node is under a transform, holds no voxels, or its grid cannot be used.
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
    """Copy a scalar volume node into a `Volume`; geometry and voxels are exact. Errors as `hold_volume` and `read`."""
    return hold_volume(node).read()
