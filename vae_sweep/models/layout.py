"""How latents and pixels lie on a grid, from the settings alone. Without torch: sweeps are planned by it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ImageShape = tuple[int, int, int]  # (C, H, W)

AUTO = "auto"
ONE_CODE = 128  # latents of one code per picture, where the settings leave it open
PICTURE_CODES = 64  # of a linear path, before the cells get theirs
SQUEEZED = 8  # channels, and cells a side, between the picture codes and the grid


@dataclass(frozen=True)
class Layout:
    """How latents and pixels lie on the grid.

    cells: a side; cell: pixels a side (even, or 1); step: pixels a side of a place of the convolutions, half a cell.
    picture_codes, cell_codes: latents of the whole picture, and of each cell.
    """

    image_shape: ImageShape
    cells: int
    cell: int
    step: int
    picture_codes: int
    cell_codes: int

    @property
    def latent_dim(self) -> int:
        return self.picture_codes + self.cell_codes * self.cells**2

    @property
    def patch(self) -> int:
        """Numbers in a cell."""
        return self.image_shape[0] * self.cell**2

    @property
    def squeezed(self) -> int:
        """Cells a side of what leads to the picture codes: the largest divisor of `cells` up to 8."""
        return next(side for side in range(min(SQUEEZED, self.cells), 0, -1) if self.cells % side == 0)

    @property
    def places(self) -> int:
        """Of the convolutions, a side."""
        return self.cells * self.cell // self.step


def layout(image_shape: ImageShape, latent_dim: int, latent_grid: int, linear_path: bool) -> Layout:
    """A grid of one cell (`latent_grid` 1) has picture codes alone; its convolutions run over the usual grid.

    With a linear path the first 64 latents, and what the cells leave over, are of the whole picture.
    Raises ValueError, naming the key, for latents that do not fill the cells.
    """
    cells = latent_grid if latent_grid > 1 else grid_of(image_shape)
    cell = cell_of(image_shape, cells)
    if latent_grid == 1:
        cell_codes = 0
    elif linear_path:
        cell_codes = max(0, latent_dim - PICTURE_CODES) // cells**2
    else:
        cell_codes, rest = divmod(latent_dim, cells**2)
        if rest or not cell_codes:
            raise ValueError(
                f"model.latent_dim={latent_dim}: expected a multiple of the {cells**2} cells of"
                f" model.latent_grid={latent_grid}, where model.linear_path=false leaves no code for the whole picture"
            )
    return Layout(image_shape, cells, cell, max(1, cell // 2), latent_dim - cell_codes * cells**2, cell_codes)


def grid_of(image_shape: ImageShape) -> int:
    """Cells a side: 8, or 16 for pictures of more than 64 pixels, which was best up to 256; fewer if fewer cover it."""
    longest = max(image_shape[1:])
    return math.ceil(longest / cell_of(image_shape, 8 if longest <= 64 else 16))


def cell_of(image_shape: ImageShape, cells: int) -> int:
    """Pixels a side of a cell: so many cells cover the picture, and two places of the convolutions lie in each."""
    cell = math.ceil(max(image_shape[1:]) / cells)
    return cell + (cell > 1 and cell % 2)


def settled(model: Mapping[str, Any], image_shape: ImageShape) -> dict[str, Any]:
    """cfg.model with the numbers that `auto` stands for on images of this shape.

    latent_dim: 128 of one code; else two codes per cell for each pixel of its side (16 in a cell of 8 x 8), and 64 of
    the whole picture where there is a linear path.
    """
    found = dict(model)
    if found.get("latent_grid") == AUTO:
        found["latent_grid"] = grid_of(image_shape)
    if found.get("latent_dim") == AUTO:
        cells = found.get("latent_grid", 1)
        in_cells = 2 * cell_of(image_shape, cells) * cells**2
        found["latent_dim"] = ONE_CODE if cells == 1 else in_cells + PICTURE_CODES * bool(found.get("linear_path"))
    return found


def layout_of(model: Mapping[str, Any], image_shape: ImageShape) -> Layout | None:
    """Of a settled cfg.model; None for a network without a grid or a linear path. Raises ValueError."""
    grid, path = model.get("latent_grid", 1), bool(model.get("linear_path", False))
    return None if grid == 1 and not path else layout(image_shape, model["latent_dim"], grid, path)
