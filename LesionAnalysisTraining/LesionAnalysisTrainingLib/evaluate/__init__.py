"""``lesion-analysis evaluate``: the measurements of sections 4.3, 5 and 6 of the paper on any labeled data.

    lesion-analysis evaluate diagnosis DATA --model M --output DIR

``evaluate_command.evaluate_main`` reads the options, of which ``settings`` makes dataclasses. Each module measures one
thing: ``diagnosis`` (figure 6, tables 3 and 8), ``detection`` (tables 5 and 6, figures 5, 7 and 8), ``identification``
(table 7, figures 9 and 10), ``lung_masks`` (section 6.1). Each returns an ``evaluation_report.Report``, which
``report_folder`` writes atomically as CSV tables, plots and an HTML page. ``slice_predictions`` gives the
probabilities of labeled slices, ``image_mask_pairs`` finds images with their masks, ``mapper`` maps single images, and
``detection_plots`` draws them.
"""
