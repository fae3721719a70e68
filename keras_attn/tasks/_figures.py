"""Figures of matplotlib, which is an optional dependency."""

import warnings
from typing import Any

from keras_attn._warnings import warn_user

# Fonts with Chinese letters, by the names that matplotlib knows them by; the first one is used.
CJK_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Hiragino Sans GB",
    "Heiti SC",
    "Heiti TC",
    "Arial Unicode MS",
    "Microsoft YaHei",
    "SimHei",
    "Noto Sans CJK JP",
    "Droid Sans Fallback",
)


def new_figure(width: float, height: float) -> Any:
    """Return an empty matplotlib `Figure` of so many inches.

    Texts with East Asian letters are drawn in an installed font that has them. Without one a
    warning says so once.

    Raises:
        ImportError: matplotlib is not installed; the message says how to install it.
    """
    try:
        from matplotlib import figure
    except ImportError as error:
        raise ImportError(
            "Plots and HTML pages of images need matplotlib: pip install 'keras-attn[plots]'."
        ) from error

    class Figure(figure.Figure):  # notebooks show the name of the class
        """A figure that sets the font of East Asian letters when it is drawn."""

        def draw(self, renderer: Any) -> Any:
            with warnings.catch_warnings():
                if _set_fonts(self):
                    warnings.filterwarnings("ignore", "Glyph .* missing from")
                return super().draw(renderer)

    return Figure(figsize=(width, height), layout="constrained")


def _set_fonts(figure: Any) -> bool:
    """Set the font of texts with East Asian letters; return whether one is needed and missing."""
    from matplotlib.text import Text

    texts = [text for text in figure.findobj(Text) if any(map(is_east_asian, text.get_text()))]
    if not texts:
        return False
    families = list(texts[0].get_fontfamily())
    if any(family in CJK_FONTS for family in families) or _user_chose_font(families):
        return False
    font = installed_cjk_font()
    if font is None:
        if not getattr(figure, "_warned_of_fonts", False):
            figure._warned_of_fonts = True
            warn_user(
                "No font with East Asian letters was found: the plot shows boxes in their place. "
                "Install one, such as the package fonts-noto-cjk, and delete matplotlib's cache "
                "(matplotlib.get_cachedir()); or set matplotlib.rcParams['font.family'] to one."
            )
        return True
    for text in texts:
        text.set_fontfamily([*text.get_fontfamily(), font])
    return False


def _user_chose_font(families: list[str]) -> bool:
    """Return whether the settings of matplotlib name another font than its own."""
    import matplotlib

    generic = matplotlib.rcParams["font.sans-serif"][:1] if families == ["sans-serif"] else families
    return generic != ["DejaVu Sans"]


def installed_cjk_font() -> str | None:
    """Return the name of an installed font with Chinese letters, or None."""
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return next((name for name in CJK_FONTS if name in installed), None)


def is_east_asian(letter: str) -> bool:
    """Return whether a letter is Chinese, Japanese or Korean, or of their punctuation.

    Example:

    >>> is_east_asian("销"), is_east_asian("é")
    (True, False)
    """
    return "\u2e80" <= letter <= "\ud7ff" or "\uf900" <= letter <= "\uffef"
