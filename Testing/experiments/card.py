"""MODEL_CARD.md of the bundled model, from the figures that make_bundle.py measured."""

from __future__ import annotations


def interval(values: list | tuple | None) -> str:
    return "-" if values is None else f"{values[0]:.3f} ({values[1]:.3f} to {values[2]:.3f})"


def share(count: tuple[int, int]) -> str:
    return f"{count[0]} of {count[1]} ({count[0] / max(1, count[1]):.1%})"


def number(value: float | None, form: str = ".3f") -> str:
    return "-" if value is None else format(value, form)


def _validation(rows: list[dict]) -> str:
    lines = ["| validation source | slices | patients | accuracy | AUC | AP |", "|---|---:|---:|---|---|---|"]
    lines += [
        f"| {r['source']} | {r['slices']} | {r['patients']} | {interval(r.get('accuracy'))} | "
        f"{interval(r.get('auc'))} | {interval(r.get('ap'))} |"
        for r in rows
    ]
    return "\n".join(lines)


def _volumes(rows: list[dict]) -> str:
    lines = [
        "| volume | study probability | positive of lung slices | slice AUC | sensitivity | specificity |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {r['volume'].removesuffix('.nii.gz')} | {number(r['probability'])} | "
        f"{share((r['positive_slices'], r['lung_slices']))} | {number(r['slice_auc'])} | "
        f"{number(r['sensitivity'])} | {number(r['specificity'])} |"
        for r in rows
    ]
    return "\n".join(lines)


def _recipe(config: dict) -> str:
    phases = "; ".join(
        f"{p['epochs']} epochs at {p['size']} px, batch {p['batch']}, learning rates x {p['rate']}"
        for p in config["phases"]
    )
    return (
        f"{config['backbone']} from ImageNet weights (`{config['imagenet']}`), feature pyramid, ensemble fusion; "
        f"{phases}; 2240 slices an epoch at 256 px, 1440 in the first at 512 px, {config['samples_per_epoch']} in the "
        "second, both classes equally often, sources by the power "
        f"{config['source_power']} of their size; AdamW {config['learning_rate']:g} (backbone) and "
        f"{config['head_learning_rate']:g} (head), warm-up and cosine, weight decay {config['weight_decay']}, label "
        f"smoothing {config['label_smoothing']}, running average of the weights ({config['average']}); everything "
        "before C3's block frozen; rotation up to 12 degrees, left-right flips, shifts, scales, brightness, contrast, "
        "gamma, blur, JPEG, noise, drawn arrows and letters; a quarter of the slices with everything but the lungs "
        "black. bfloat16 on two CPU cores. Omega as equation 2 gives it, frozen for the last five epochs."
    )


def model_card(model_id: str, facts: dict) -> str:
    """The card as markdown; every number comes from ``facts``."""
    alarms, elbow = facts["false_alarms"], facts["elbow"]
    counts = "\n".join(f"    {line}" for line in facts["counts"])
    return f"""# {model_id}

FeCNN (ResNet-50 backbone, feature pyramid, ensemble fusion) that tells COVID-19 from other chest CT slice by slice,
with Grad++ lesion maps and two lesion clusters. No lesion was drawn for its training: slices carry one label each.

**Research use only.** Not a medical device, not validated for diagnosis, not to be used for decisions about patients.

## Training data

Slices and patients by split, source and class. Patients lie on one side of the split. The label NonCOVID means other
findings or none; radiopaedia slices count as infected where a radiologist's mask is not empty.

{counts}

Sources: COVID-CT (Zhao 2020), SARS-CoV-2 CT (Soares 2020; patients estimated by grouping near-duplicates),
Coronacases slices (Ma 2020), LUNA16/LIDC-IDRI, TCGA-LUAD, Radiopaedia scans with masks (MedSeg). Left out on purpose:
all volumes, the emphysema set, the MedSeg slices with lesion types. Four sources have one class each; a network can
learn the source in place of the disease, and the common grey scale only helps against it.

## Recipe

{_recipe(facts["config"])}

Input: window [-1200, 600] HU or an 8-bit picture; box around the lungs with 3 % margin; lung air brought to grey 60 and
soft tissue to 190; of volumes, everything but the lungs black and slices thinner than 4 mm averaged to that; 384 x 384.
The size, the mask and the averaging were chosen after training, by the COVID-CT validation patients (AUC .75 at 512 px,
.81 at 384 px) and by the volumes below, which are therefore no longer an untouched test of these three choices.

The settings were changed twice while it ran: the plan of nine epochs at 256 px was cut to six after the second, and
after the first epoch at 512 px, whose learning rates were half of those above, a second was added.

## Validation patients

Chosen as the end of the planned run, not as the best of many. Threshold 0.5 after temperature
{facts["temperature"]:.2f} (fitted on these slices, each source counting alike). 95 % intervals by bootstrap over
patients; a source of one patient has no interval to speak of.

{_validation(facts["validation"])}

The same slices with everything but the lungs black, as volumes are shown to the network:

{_validation(facts["validation_masked"])}

False alarms on the emphysema set, which took no part (one slice a patient, no COVID-19): normal lungs
{share(alarms["normal"])}, emphysema {share(alarms["emphysema"])}.

## Volumes that took no part

Default preset:

{_volumes(facts["volumes"]["default"])}

Preset `paper` (lungs only, tight crop, no grey anchors, no averaging, 512 x 512, uncalibrated; the network was not
trained on slices without the anchors):

{_volumes(facts["volumes"]["paper"])}

Infected slices by radiologists' labels where there are any. One scan of each kind proves little.

## Maps on lesions that radiologists drew

Printed by `Testing/benchmarks/detection.py`: put its figures here.

## Lesion clusters

k-means with K = 2 on the 2048 activations at the peaks of {facts["lesions"]} lesions of training positives. The elbow
lies at K = {elbow["k"]}; silhouettes for K = 1 to 8: {elbow["silhouettes"]}; bootstrap stability (adjusted Rand index):
{elbow["stability"]}. Clusters are groups of similar activations, not proven lesion types.

## Storage

Tensors of 200,000 weights or more are 8-bit integers with one scale per output channel, those of 16,384 or more
half-precision floats, the rest single precision. Against the float weights the
validation probabilities change by at most {facts["quantization_change"]:.4f}; bfloat16 (the first layers stay in
float32) against float32 changes them by at most {facts["bfloat16_change"]:.4f}.

## Limits

* Trained on a few hundred patients of seven sources; other scanners, windows, contrast media and children are unknown.
* Pneumonia of other kinds looks like COVID-19 and is often called positive: see the community-acquired pneumonia above.
* Lesions smaller than a cell of the 12 x 12 map (about 2.5 cm) are seen poorly; near ones merge.
* Probabilities are calibrated on the validation patients only.

## License

The weights: **CC BY-NC-SA 4.0**, because training data (SARS-CoV-2 CT, Coronacases: CC BY-NC-SA 4.0; other sources
for research only) and the ImageNet start weights (CC BY-NC 4.0) forbid commercial use and ask for the same terms.
The code that reads them is Apache-2.0.
"""
