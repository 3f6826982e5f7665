"""Augmentation as a function of (seed, step)."""

import pytest
import torch

from vae_sweep.data.augment import augmented

X = torch.rand(8, 3, 32, 48, generator=torch.Generator().manual_seed(0))


def test_none_is_the_batch_itself():
    assert augmented(X, "none", 0, 0) is X


def test_a_flip_is_each_picture_or_its_mirror_image_about_half_of_them():
    mirrored = 0
    for step in range(40):
        for image, original in zip(augmented(X, "flip", 3, step), X, strict=True):
            flipped = torch.equal(image, original.flip(-1))
            assert flipped or torch.equal(image, original)
            mirrored += flipped
    assert 110 < mirrored < 210  # of 320: six standard deviations


def test_a_crop_is_a_window_of_the_reflected_picture_up_to_a_sixteenth_away():
    wide = torch.nn.functional.pad(X, (3, 3, 2, 2), mode="reflect")
    places = set()
    for step in range(30):
        for image, picture in zip(augmented(X, "crop", 5, step), wide, strict=True):
            found = [
                (top, left) for top in range(5) for left in range(7)
                if torch.equal(image, picture[:, top : top + 32, left : left + 48])
            ]  # fmt: skip
            assert len(found) == 1
            places.add(found[0])
    assert len(places) > 25  # of 35


@pytest.mark.parametrize("kind", ["flip", "crop", "flip_crop"])
def test_it_follows_from_seed_and_step_alone_and_ranks_share_one_draw(kind):
    whole = augmented(X, kind, 1, 7)
    assert torch.equal(whole, augmented(X, kind, 1, 7))
    assert not torch.equal(whole, augmented(X, kind, 1, 8))
    assert not torch.equal(whole, augmented(X, kind, 2, 7))
    for rank in range(2):
        share = slice(rank, None, 2)
        assert torch.equal(whole[share], augmented(X[share], kind, 1, 7, share, len(X)))
