"""MeWMLib: the Medical World Model for liver tumours (arXiv 2506.02327). Research use only.

The library works without 3D Slicer. Importing this package loads no deep-learning framework; the heavy rooms
(`dynamics`, `survival`, `world`, ...) do, and run in a worker process.
"""

__version__ = "0.1.0"
