"""Recipes: everything that makes a training run, in one validated TOML file. Imports no Keras."""

from keras_attn.recipes.recipe import Recipe, RecipeError, load_recipe

__all__ = ["Recipe", "RecipeError", "load_recipe"]
