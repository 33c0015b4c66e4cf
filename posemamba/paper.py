"""The paper's tables (Huang et al., AAAI 2025) as printed: its numbers, none of ours."""

from typing import NamedTuple


class Published(NamedTuple):
    """A row of Table 1.

    Attributes:
        method: its name, and where it was published.
        frames: T, frames in.
        centre_only: CE, whether a window of T frames yields its centre frame alone.
        parameters: in millions.
        macs: G multiply-adds of a window.
        macs_a_frame: M multiply-adds "for each output frame", as Figure 1's caption has it.
        p1, p2: errors in mm; p2 is None where the paper has a dash.
        p1_given_2d: P1 on ground-truth 2D in mm, or None.
    """

    method: str
    frames: int
    centre_only: bool
    parameters: float
    macs: float
    macs_a_frame: int
    p1: float
    p2: float | None
    p1_given_2d: float | None

    @property
    def name(self) -> str:
        """The method alone."""
        return self.method.split(",")[0]

    @property
    def frames_out(self) -> int:
        """Frames that a window yields."""
        return 1 if self.centre_only else self.frames


#: Table 1 as printed, on Human3.6M.
TABLE_1 = (
    Published("MHFormer, CVPR 2022", 351, True, 30.9, 7.0, 20, 43.0, 34.4, 30.5),
    Published("MixSTE, CVPR 2022", 243, False, 33.6, 139.0, 572, 40.9, 32.6, 21.6),
    Published("P-STMO, ECCV 2022", 243, True, 6.2, 0.7, 3, 42.8, 34.4, 29.3),
    Published("Stridedformer, TMM 2022", 351, True, 4.0, 0.8, 2, 43.7, 35.2, 28.5),
    Published("Einfalt et al., WACV 2023", 351, True, 10.4, 0.5, 1, 44.2, 35.7, None),
    Published("STCFormer, CVPR 2023", 243, False, 4.7, 19.6, 80, 41.0, 32.0, 21.3),
    Published("STCFormer-L, CVPR 2023", 243, False, 18.9, 78.2, 321, 40.5, 31.8, None),
    Published("PoseFormerV2, CVPR 2023", 243, True, 14.4, 4.8, 20, 45.2, 35.6, None),
    Published("GLA-GCN, ICCV 2023", 243, True, 1.3, 1.5, 6, 44.4, 34.8, 21.0),
    Published("MotionBERT, ICCV 2023", 243, False, 42.3, 174.8, 719, 39.2, 32.9, 17.8),
    Published("HDFormer, IJCAI 2023", 96, False, 3.7, 0.6, 6, 42.6, 33.1, 21.6),
    Published("HSTFormer, arXiv 2023", 81, False, 22.7, 1.0, 12, 42.7, 33.7, 27.8),
    Published("DC-GCT, arXiv 2023", 81, True, 3.1, 0.041, 41, 44.7, None, None),
    Published("MotionAGFormer-L, WACV 2024", 243, False, 19.0, 78.3, 322, 38.4, 32.5, 17.3),
    Published("PoseMamba-S", 243, False, 0.9, 3.6, 15, 41.8, 35.0, 20.0),
    Published("PoseMamba-B", 243, False, 3.4, 13.9, 57, 40.8, 34.3, 16.8),
    Published("PoseMamba-L", 243, False, 6.7, 27.9, 115, 38.1, 32.5, 15.6),
    Published("PoseMamba-X", 243, False, 26.5, 109.9, 452, 37.1, 31.5, 14.8),
)

#: Table 2 as printed: variant, depth, d_m, T, M parameters, G MACs.
TABLE_2 = (
    ("S", 20, 64, 243, 0.860, 3.587),
    ("B", 20, 128, 243, 3.358, 13.943),
    ("L", 40, 128, 243, 6.714, 27.881),
    ("X", 40, 256, 243, 26.535, 109.909),
)

#: Table 3 as printed, on MPI-INF-3DHP: method, T, MPJPE in mm.
TABLE_3 = (
    ("MHFormer", 9, 58.0),
    ("MixSTE", 27, 54.9),
    ("P-STMO", 81, 32.2),
    ("Einfalt et al.", 81, 46.9),
    ("STCFormer", 81, 23.1),
    ("PoseFormerV2", 81, 27.8),
    ("GLA-GCN", 81, 27.7),
    ("HSTFormer", 81, 41.4),
    ("HDFormer", 96, 37.2),
    ("MotionAGFormer-XS", 27, 19.2),
    ("MotionAGFormer-S", 81, 17.1),
    ("MotionAGFormer-B", 81, 18.2),
    ("MotionAGFormer-L", 81, 16.2),
    ("PoseMamba-S", 27, 17.79),
    ("PoseMamba-S", 81, 15.27),
    ("PoseMamba-B", 81, 14.51),
)

#: Table 4 as printed: strategy and P1 in mm. All rows have 0.860 M parameters and 3.587 G MACs there. Only
#: Figure 4 tells which pair of directions has which number.
TABLE_4 = (
    ("unidirectional 1", 43.1),
    ("unidirectional 2", 43.2),
    ("unidirectional 3", 43.8),
    ("unidirectional 4", 43.0),
    ("bidirectional", 42.4),
    ("global-local", 41.8),
)

#: Table 5 as printed: the terms of the loss, P1 and P2 in mm.
TABLE_5 = (
    ("MPJPE", 43.7, 36.5),
    ("MPJPE + 2D", 43.5, 36.2),
    ("MPJPE + T", 42.1, 35.1),
    ("MPJPE + T + 2D", 41.8, 35.0),
)

#: All thirteen rows of Table 6 as printed, those of Table 2 among them. A row is depth, d_m, M parameters,
#: G MACs, and P1 in mm.
TABLE_6 = (
    (12, 64, 0.516, 2.2, 43.0),
    (16, 64, 0.688, 2.9, 42.0),
    (20, 64, 0.860, 3.6, 41.8),
    (24, 64, 1.031, 4.3, 41.5),
    (32, 64, 1.375, 5.7, 41.5),
    (40, 64, 1.719, 7.2, 41.1),
    (48, 64, 2.062, 8.6, 41.1),
    (40, 32, 0.450, 1.9, 43.1),
    (40, 64, 1.719, 7.2, 41.1),
    (40, 128, 6.714, 27.9, 38.1),
    (40, 256, 26.535, 109.9, 37.1),
    (12, 256, 7.963, 33.0, 39.1),
    (20, 128, 3.358, 13.9, 40.8),
)
